import { useEffect, useState } from 'react'
import { usePortal } from '../lib/portal.ts'
import { go, to, type Route } from '../lib/route.ts'
import type { Language } from '../lib/texts.ts'

/** Name, places, notices and language. On a phone the places are behind a button. */
export function Header({
  route,
  unread,
  setLanguage,
}: {
  route: Route
  unread: number
  setLanguage: (language: Language) => void
}) {
  const { texts, session, setSession } = usePortal()
  const [isOpen, setOpen] = useState(false)
  const [place = 'products'] = route.path
  useEffect(() => setOpen(false), [route])

  const link = (path: string, text: string, places: readonly string[]) => (
    <a href={to(path)} aria-current={places.includes(place) ? 'page' : undefined}>
      {text}
    </a>
  )
  const leave = (): void => {
    // Whatever the exchange says to it, this page forgets the token.
    session?.market.signOut().catch(() => {})
    setSession(undefined)
    go('products')
  }

  return (
    <header
      className="bar"
      onKeyDown={({ key }) => {
        if (key === 'Escape') setOpen(false)
      }}
    >
      <a className="brand" href={to('products')}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M1 5q3.5-3 7 0t7 0M1 11q3.5-3 7 0t7 0" />
        </svg>
        {texts.brand}
      </a>
      <button type="button" className="menu" aria-expanded={isOpen} aria-controls="places" onClick={() => setOpen(!isOpen)}>
        {texts.menu}
        {unread > 0 && <span className="unseen">{texts.noticesUnread(unread)}</span>}
        {unread > 0 && <span className="dot on" aria-hidden="true" />}
      </button>
      <div id="places" className={isOpen ? 'places open' : 'places'}>
        <nav aria-label={texts.mainNavigation}>
          {link('products', texts.nav.products, ['products', 'product', 'publish'])}
          {session && link('votes', texts.nav.votes, ['votes', 'vote'])}
          {session && link('usage', texts.nav.usage, ['usage', 'exchanges'])}
          {session && link('bill', texts.nav.bill, ['bill'])}
          {link('evidence', texts.nav.evidence, ['evidence'])}
        </nav>
        <div className="own">
          {session ? (
            <>
              <a
                href={to('notices')}
                aria-current={place === 'notices' ? 'page' : undefined}
                aria-label={texts.noticesUnread(unread)}
              >
                {texts.nav.notices}
                {unread > 0 && <span className="count">{unread > 99 ? '99+' : unread}</span>}
              </a>
              {link('account', texts.signedInAs(session.account), ['account', 'bind'])}
              <button type="button" className="plain" onClick={leave}>
                {texts.nav.signOut}
              </button>
            </>
          ) : (
            link('sign-in', texts.nav.signIn, ['sign-in', 'bind'])
          )}
          <button
            type="button"
            className="plain"
            lang={texts.languageOf}
            onClick={() => setLanguage(texts.languageOf as Language)}
          >
            {texts.language}
          </button>
        </div>
      </div>
    </header>
  )
}
