import { useState, type SyntheticEvent } from 'react'
import { signIn } from '../lib/exchange.ts'
import { usePortal } from '../lib/portal.ts'
import { go, to } from '../lib/route.ts'
import { useAction } from '../lib/useAction.ts'
import { Field } from '../parts/Field.tsx'
import { Problem } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'

const ACCOUNT = /^1\.2\.(0|[1-9]\d{0,17})$/

/** Asks for the account and its key. @param next where to go then; nowhere for a page that waits behind it. */
export function SignInPage({ next, isNeeded = false }: { next?: string | undefined; isNeeded?: boolean }) {
  const { texts, setSession } = usePortal()
  const action = useAction()
  const [account, setAccount] = useState('')
  const [key, setKey] = useState('')
  const [flaw, setFlaw] = useState<string>()

  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    const isAccount = ACCOUNT.test(account.trim())
    setFlaw(isAccount ? undefined : texts.signIn.wrongAccount)
    if (!isAccount) return
    action.run(async () => {
      const session = await signIn(account.trim() as `1.2.${string}`, key)
      setKey('')
      setSession(session)
      if (next !== undefined) go(next)
    })
  }

  return (
    <Page title={texts.signIn.title} intro={isNeeded ? texts.signIn.needed : undefined}>
      <form className="narrow" onSubmit={submit} noValidate autoComplete="off">
        <p>{texts.signIn.intro}</p>
        <Field label={texts.signIn.account} hint={texts.signIn.accountHint} error={flaw}>
          {(control) => (
            <input
              {...control}
              value={account}
              autoCapitalize="none"
              spellCheck={false}
              onChange={({ target }) => setAccount(target.value)}
            />
          )}
        </Field>
        <Field label={texts.signIn.key} hint={texts.signIn.keyHint}>
          {(control) => (
            <input {...control} type="password" autoComplete="off" value={key} onChange={({ target }) => setKey(target.value)} />
          )}
        </Field>
        <Problem error={action.error} />
        <div className="actions">
          <button type="submit" className="primary" disabled={action.busy}>
            {texts.signIn.submit}
          </button>
          <span>
            {texts.signIn.unbound} <a href={to('bind')}>{texts.nav.bind}</a>
          </span>
        </div>
      </form>
    </Page>
  )
}
