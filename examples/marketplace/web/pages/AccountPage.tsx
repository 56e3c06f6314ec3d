import { useState, type SyntheticEvent } from 'react'
import type { MerchantProfile } from 'sluice-sdk/des'
import { usePortal } from '../lib/portal.ts'
import { to } from '../lib/route.ts'
import { useAction } from '../lib/useAction.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Field } from '../parts/Field.tsx'
import { Figures } from '../parts/Figures.tsx'
import { Loaded, Problem, Skeleton } from '../parts/Loaded.tsx'
import { Logo } from '../parts/Logo.tsx'
import { Page } from '../parts/Page.tsx'
import { Table } from '../parts/Table.tsx'

/** What one has, what one spends, and who one is. */
export function AccountPage() {
  const { texts, format, market } = usePortal()
  // Together, so that nothing below moves when what is above comes later.
  const load = useLoad(async () => {
    const [total, profile] = await Promise.all([market.total(), market.profile()])
    return { ...total, profile }
  }, [market])
  return (
    <Page title={texts.account.title}>
      <Loaded of={load} skeleton={<Skeleton lines={14} height={2.5} />}>
        {({ overview, productList, profile }) => (
          <>
            <Figures
              items={[
                [texts.account.balance, format.money(overview.balance ?? '0')],
                [texts.account.average, format.money(overview.average ?? '0')],
                [texts.account.spent, format.money(overview.consumeAmount ?? '0')],
              ]}
            />
            {productList.length > 0 && (
              <section>
                <h2>{texts.account.byProduct}</h2>
                <Table
                  caption={texts.account.byProduct}
                  keyOf={({ productId }) => productId}
                  rows={productList}
                  columns={[
                    {
                      head: texts.bill.product,
                      cell: ({ productId, productName, logoUrl }) => (
                        <span className="with-logo">
                          <Logo url={logoUrl} name={productName} size={24} />
                          <a href={to(`product/${productId}`)}>{productName}</a>
                        </span>
                      ),
                    },
                    { head: texts.bill.count, isNumber: true, cell: ({ transferCount }) => format.number(transferCount) },
                    { head: texts.bill.unitPrice, isNumber: true, cell: ({ unitPrice }) => format.money(unitPrice) },
                    { head: texts.bill.amount, isNumber: true, cell: ({ consumeAmount }) => format.money(consumeAmount) },
                  ]}
                />
              </section>
            )}
            <div className="columns">
              <section className="main-column">
                <h2>{texts.account.profile}</h2>
                <ProfileForm profile={profile} />
              </section>
              <aside className="side-column">
                <section className="panel">
                  <h2>{texts.account.identity}</h2>
                  <dl className="facts">
                    <div>
                      <dt>{texts.account.accountId}</dt>
                      <dd>{profile.accountId}</dd>
                    </div>
                    <div>
                      <dt>{texts.account.merchantId}</dt>
                      <dd>{profile.merchantId}</dd>
                    </div>
                    <div>
                      <dt>{texts.account.serviceUrl}</dt>
                      <dd className="hash">{profile.serviceUrl || texts.account.noService}</dd>
                    </div>
                  </dl>
                  <a className="button" href={to('bind')}>
                    {texts.account.changeBinding}
                  </a>
                </section>
              </aside>
            </div>
          </>
        )}
      </Loaded>
    </Page>
  )
}

function ProfileForm({ profile }: { profile: MerchantProfile }) {
  const { texts, market } = usePortal()
  const action = useAction()
  const [isSaved, setSaved] = useState(false)
  const [form, setForm] = useState({
    merchantName: profile.merchantName,
    authorizerName: profile.authorizerName,
    merchantAddress: profile.merchantAddress ?? '',
    email: profile.email,
  })
  const text = (name: keyof typeof form, label: string, type: 'text' | 'url' | 'email', autoComplete: string) => (
    <Field label={label} optional>
      {(control) => (
        <input
          {...control}
          type={type}
          autoComplete={autoComplete}
          value={form[name]}
          onChange={({ target }) => {
            setSaved(false)
            setForm({ ...form, [name]: target.value })
          }}
        />
      )}
    </Field>
  )
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    action.run(async () => {
      await market.changeProfile(form)
      setSaved(true)
    })
  }
  return (
    <form onSubmit={submit} noValidate>
      <div className="pair">
        {text('merchantName', texts.account.merchantName, 'text', 'organization')}
        {text('authorizerName', texts.account.authorizer, 'text', 'name')}
        {text('merchantAddress', texts.account.website, 'url', 'url')}
        {text('email', texts.account.email, 'email', 'email')}
      </div>
      <Problem error={action.error} />
      <div className="actions">
        <button type="submit" disabled={action.busy}>
          {texts.save}
        </button>
        <span role="status" className="quiet">
          {isSaved && texts.saved}
        </span>
      </div>
    </form>
  )
}
