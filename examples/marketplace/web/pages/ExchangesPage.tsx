import { useEffect, useState, type SyntheticEvent } from 'react'
import type { AccountId, ExchangeRow } from 'sluice-sdk/des'
import { usePortal } from '../lib/portal.ts'
import { requestName } from '../lib/requestName.ts'
import { go, to } from '../lib/route.ts'
import { Field } from '../parts/Field.tsx'
import { Skeleton } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'
import { Pages } from '../parts/Pages.tsx'
import { Table } from '../parts/Table.tsx'

/** Filters of exchanges; empty for none. */
export interface ExchangeFilters {
  readonly request: string
  readonly txid: string
  readonly asker: string
}

/** Exchanges one by one, with who sold and the transfer. */
export function ExchangesPage({ filters }: { filters: ExchangeFilters }) {
  const { texts, format, market } = usePortal()
  const [form, setForm] = useState(filters)
  const [flaws, setFlaws] = useState<{ request?: string; asker?: string }>({})
  const { request, txid, asker } = filters
  useEffect(() => setForm({ request, txid, asker }), [request, txid, asker])

  const apply = (event: SyntheticEvent): void => {
    event.preventDefault()
    const next = { request: form.request.trim(), txid: form.txid.trim(), asker: form.asker.trim() }
    const found = {
      ...(next.request !== '' && requestName(next.request) === undefined && { request: texts.evidence.wrong }),
      ...(next.asker !== '' && !/^1\.2\.\d{1,18}$/.test(next.asker) && { asker: texts.exchanges.wrongAccount }),
    }
    setFlaws(found)
    if (Object.keys(found).length === 0) go('exchanges', next)
  }
  const text = (name: keyof ExchangeFilters, label: string, error?: string) => (
    <Field label={label} error={error}>
      {(control) => (
        <input
          {...control}
          value={form[name]}
          autoCapitalize="none"
          spellCheck={false}
          onChange={({ target }) => setForm({ ...form, [name]: target.value })}
        />
      )}
    </Field>
  )

  return (
    <Page title={texts.exchanges.title} intro={texts.exchanges.intro}>
      <form className="filters" onSubmit={apply} noValidate>
        {text('request', texts.exchanges.request, flaws.request)}
        {text('txid', texts.exchanges.transaction)}
        {text('asker', texts.exchanges.asker, flaws.asker)}
        <button type="submit">{texts.usage.filter}</button>
      </form>
      <Pages<ExchangeRow>
        open={() =>
          market.exchanges({
            requestId: request || undefined,
            txid: txid || undefined,
            toAccount: (asker || undefined) as AccountId | undefined,
          })
        }
        inputs={[request, txid, asker, market]}
        label={texts.exchanges.title}
        empty={texts.exchanges.empty}
        skeleton={<Skeleton lines={6} height={3} />}
      >
        {(rows) => (
          <Table
            caption={texts.exchanges.title}
            keyOf={({ id }) => id}
            rows={rows}
            columns={[
              { head: texts.exchanges.time, cell: ({ gmtCreated }) => format.dateTime(gmtCreated) },
              { head: texts.exchanges.source, cell: ({ fromAccount }) => fromAccount },
              { head: texts.exchanges.asker, cell: ({ toAccount }) => toAccount },
              {
                head: texts.exchanges.request,
                cell: ({ requestId }) => (
                  <>
                    <code className="hash">{requestId}</code>
                    <br />
                    <a href={to('evidence', { request: requestId })}>{texts.exchanges.prove}</a>
                  </>
                ),
              },
              { head: texts.exchanges.transaction, cell: ({ txid: id }) => <code className="hash">{id}</code> },
            ]}
          />
        )}
      </Pages>
    </Page>
  )
}
