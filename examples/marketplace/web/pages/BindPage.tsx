import { useState, type SyntheticEvent } from 'react'
import { publicMarket } from '../lib/exchange.ts'
import { usePortal } from '../lib/portal.ts'
import { to } from '../lib/route.ts'
import { useAction } from '../lib/useAction.ts'
import { Field } from '../parts/Field.tsx'
import { Problem } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'

/** Binds an account of the chain to a merchant (1.1), or changes the address of a pair that is bound. */
export function BindPage() {
  const { texts, session } = usePortal()
  const action = useAction()
  const [account, setAccount] = useState<string>(session?.account ?? '')
  const [merchant, setMerchant] = useState(session ? String(session.merchantId) : '')
  const [serviceUrl, setServiceUrl] = useState('')
  const [key, setKey] = useState('')
  const [flaws, setFlaws] = useState<{ account?: string; merchant?: string; url?: string }>({})
  const [isDone, setDone] = useState(false)

  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    const found = {
      ...(!/^1\.2\.\d{1,18}$/.test(account.trim()) && { account: texts.signIn.wrongAccount }),
      ...(!/^\d{1,9}$/.test(merchant.trim()) && { merchant: texts.bind.wrongMerchant }),
      ...(serviceUrl.trim() !== '' &&
        !(URL.canParse(serviceUrl.trim()) && /^https?:/.test(serviceUrl.trim())) && { url: texts.bind.wrongUrl }),
    }
    setFlaws(found)
    if (Object.keys(found).length > 0) return
    action.run(async () => {
      const binding = { account: account.trim() as `1.2.${string}`, merchantId: Number(merchant), serviceUrl: serviceUrl.trim() }
      await publicMarket.bindAccount({ ...binding, key: key.trim() })
      setKey('')
      setDone(true)
    })
  }

  return (
    <Page title={texts.bind.title} intro={texts.bind.intro}>
      <form className="narrow" onSubmit={submit} noValidate autoComplete="off">
        <Field label={texts.signIn.account} hint={texts.signIn.accountHint} error={flaws.account}>
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
        <Field label={texts.bind.merchantId} hint={texts.bind.merchantHint} error={flaws.merchant}>
          {(control) => (
            <input {...control} inputMode="numeric" value={merchant} onChange={({ target }) => setMerchant(target.value)} />
          )}
        </Field>
        <Field label={texts.bind.serviceUrl} hint={texts.bind.serviceHint} error={flaws.url} optional>
          {(control) => (
            <input {...control} type="url" value={serviceUrl} onChange={({ target }) => setServiceUrl(target.value)} />
          )}
        </Field>
        <Field label={texts.signIn.key} hint={texts.signIn.keyHint}>
          {(control) => (
            <input {...control} type="password" autoComplete="off" value={key} onChange={({ target }) => setKey(target.value)} />
          )}
        </Field>
        <Problem error={action.error} />
        {isDone && (
          <p className="note good" role="status">
            {texts.bind.done} {!session && <a href={to('sign-in', { next: 'account' })}>{texts.signIn.title}</a>}
          </p>
        )}
        <div className="actions">
          <button type="submit" className="primary" disabled={action.busy}>
            {texts.bind.submit}
          </button>
        </div>
      </form>
    </Page>
  )
}
