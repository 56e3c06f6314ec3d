import { useCallback, useEffect, useMemo, useState, type MouseEvent, type ReactNode } from 'react'
import type { Category } from 'sluice-sdk/des'
import { publicMarket, type Session } from './lib/exchange.ts'
import { createFormat } from './lib/format.ts'
import { PortalContext, usePortal, type Portal } from './lib/portal.ts'
import { to, useRoute, type Route } from './lib/route.ts'
import { dictionary, type Language } from './lib/texts.ts'
import { Header } from './parts/Header.tsx'
import { Page } from './parts/Page.tsx'
import { AccountPage } from './pages/AccountPage.tsx'
import { BillPage } from './pages/BillPage.tsx'
import { BindPage } from './pages/BindPage.tsx'
import { ChangePage } from './pages/ChangePage.tsx'
import { EvidencePage } from './pages/EvidencePage.tsx'
import { ExchangesPage } from './pages/ExchangesPage.tsx'
import { NoticesPage } from './pages/NoticesPage.tsx'
import { ProductPage } from './pages/ProductPage.tsx'
import { ProductsPage } from './pages/ProductsPage.tsx'
import { PublishPage } from './pages/PublishPage.tsx'
import { SignInPage } from './pages/SignInPage.tsx'
import { UsagePage } from './pages/UsagePage.tsx'
import { VotePage } from './pages/VotePage.tsx'
import { VotesPage } from './pages/VotesPage.tsx'

/** Milliseconds between two looks for new notices. */
const NOTICES = 30_000
/** Where the language is remembered. */
const LANGUAGE = 'sluice.language'

/** The portal: its state, its frame, and the page of the address. */
export function App() {
  const route = useRoute()
  const [language, setLanguage] = useState(firstLanguage)
  const [session, setSession] = useState<Session>()
  const [unread, setUnread] = useState(0)
  const [counted, setCounted] = useState(0)
  const recount = useCallback(() => setCounted((count) => count + 1), [])

  useEffect(() => {
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
    localStorage.setItem(LANGUAGE, language)
  }, [language])

  useEffect(() => {
    if (!session) return setUnread(0)
    let isCurrent = true
    const count = (): void =>
      void session.market.unreadNotices().then(
        (total) => isCurrent && setUnread(total),
        // The count is no page: what it could not learn now, it learns in half a minute.
        () => {},
      )
    count()
    const timer = setInterval(count, NOTICES)
    return () => {
      isCurrent = false
      clearInterval(timer)
    }
  }, [session, counted])

  const categories = useMemo(rememberedCategories, [])
  const portal = useMemo<Portal>(
    () => ({
      language,
      texts: dictionary[language],
      format: createFormat(language),
      session,
      market: session?.market ?? publicMarket,
      categories,
      setSession,
      recount,
    }),
    [language, session, categories, recount],
  )

  return (
    <PortalContext value={portal}>
      <a className="skip" href="#content" onClick={skip}>
        {portal.texts.skip}
      </a>
      <Header route={route} unread={unread} setLanguage={setLanguage} />
      <main id="content" tabIndex={-1}>
        {pageOf(route, session !== undefined)}
      </main>
    </PortalContext>
  )
}

/** The page at a place. Keys make a page of another thing begin anew. */
function pageOf({ path, query }: Route, isSignedIn: boolean): ReactNode {
  const [first = 'products', second = '', third = ''] = path
  const number = /^\d{1,9}$/.test(second) ? Number(second) : undefined
  const members = (page: ReactNode): ReactNode => (isSignedIn ? page : <SignInPage key={`before ${first}`} isNeeded />)
  const text = (name: string): string => query.get(name) ?? ''
  switch (first) {
    case 'products':
      return (
        <ProductsPage
          market={second === 'free' ? 'free' : 'alliance'}
          category={/^\d{1,9}$/.test(third) ? Number(third) : undefined}
        />
      )
    case 'product':
      if (number === undefined) break
      if (third === 'change') return members(<ChangePage key={number} id={number} />)
      return <ProductPage key={number} id={number} version={Number(text('version')) || undefined} />
    case 'publish':
      return members(<PublishPage />)
    case 'votes': {
      const which = second === 'passed' || second === 'rejected' ? second : 'open'
      return members(<VotesPage which={which} product={Number(text('product')) || 'all'} />)
    }
    case 'vote':
      if (number === undefined) break
      return members(<VotePage key={number} id={number} />)
    case 'usage':
      return members(<UsagePage />)
    case 'exchanges':
      return members(<ExchangesPage filters={{ request: text('request'), txid: text('txid'), asker: text('asker') }} />)
    case 'bill':
      return members(<BillPage />)
    case 'account':
      return members(<AccountPage />)
    case 'notices':
      return members(<NoticesPage />)
    case 'evidence':
      return <EvidencePage request={text('request')} />
    case 'sign-in':
      return <SignInPage key="sign-in" next={text('next') || 'account'} />
    case 'bind':
      return <BindPage />
  }
  return <NotFound />
}

function NotFound() {
  const { texts } = usePortal()
  return (
    <Page title={texts.notFound}>
      <a href={to('products')}>{texts.home}</a>
    </Page>
  )
}

/** Categories are asked for once; a failure is not remembered. */
function rememberedCategories(): () => Promise<readonly Category[]> {
  let asked: Promise<readonly Category[]> | undefined
  return () =>
    (asked ??= publicMarket.categories().catch((error: unknown) => {
      asked = undefined
      throw error
    }))
}

/** The language of the last visit, or the browser's. */
function firstLanguage(): Language {
  const last = localStorage.getItem(LANGUAGE)
  return last === 'zh' || last === 'en' ? last : navigator.language.startsWith('zh') ? 'zh' : 'en'
}

/** The part behind `#` is the place: the link to the content must not change it. */
function skip(event: MouseEvent): void {
  event.preventDefault()
  document.getElementById('content')!.focus()
}
