import { useState, type SyntheticEvent } from 'react'
import type { BillTotals, LogRow } from 'sluice-sdk/des'
import { usePortal } from '../lib/portal.ts'
import { to } from '../lib/route.ts'
import { useLoad } from '../lib/useLoad.ts'
import { BarChart } from '../parts/BarChart.tsx'
import { Field } from '../parts/Field.tsx'
import { Loaded, Skeleton } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'
import { Pages } from '../parts/Pages.tsx'
import { Segments } from '../parts/Tabs.tsx'
import { Table } from '../parts/Table.tsx'

/** What was spent: the last days as charts, and every charge. */
export function UsagePage() {
  const { texts, market } = usePortal()
  const [days, setDays] = useState<7 | 30>(30)
  const recent = useLoad(() => market.recentDays(), [market])
  return (
    <Page
      title={texts.usage.title}
      intro={texts.zone}
      actions={
        <Segments
          label={texts.usage.range}
          value={days}
          options={([7, 30] as const).map((value) => ({ value, text: texts.usage.days(value) }))}
          onChange={setDays}
        />
      }
    >
      <Loaded of={recent} skeleton={<div className="charts-skeleton skeleton" />}>
        {(rows) => <Charts rows={rows.slice(0, days)} />}
      </Loaded>
      <Log />
    </Page>
  )
}

/** @param rows the newest first. */
function Charts({ rows }: { rows: readonly BillTotals[] }) {
  const { texts, format } = usePortal()
  const days = rows
    .map(({ date, consumeAmount, transferCount, incomeAmount }) => ({
      time: Number(date),
      spent: consumeAmount ?? '0',
      count: transferCount ?? 0,
      income: incomeAmount ?? '0',
    }))
    .reverse()
  return (
    <section>
      <div className="charts">
        <BarChart
          title={texts.usage.spent}
          total={format.money(sumOf(days.map(({ spent }) => spent)))}
          bars={days.map(({ time, spent }) => ({ time, value: Number(spent), text: format.money(spent) }))}
        />
        <BarChart
          title={texts.usage.calls}
          total={format.number(days.reduce((sum, { count }) => sum + count, 0))}
          bars={days.map(({ time, count }) => ({ time, value: count, text: format.number(count) }))}
        />
      </div>
      <details>
        <summary>{texts.usage.asTable}</summary>
        <Table
          caption={texts.usage.title}
          keyOf={({ time }) => time}
          rows={[...days].reverse()}
          columns={[
            { head: texts.usage.date, cell: ({ time }) => format.day(time) },
            { head: texts.usage.spent, isNumber: true, cell: ({ spent }) => format.money(spent) },
            { head: texts.usage.calls, isNumber: true, cell: ({ count }) => format.number(count) },
            { head: texts.usage.income, isNumber: true, cell: ({ income }) => format.money(income) },
          ]}
        />
      </details>
    </section>
  )
}

/** Every charge, by day and product. */
function Log() {
  const { texts, format, market } = usePortal()
  const known = useLoad(() => market.total(), [market])
  const [form, setForm] = useState({ from: '', to: '', product: '' })
  const [filter, setFilter] = useState(form)
  const [flaw, setFlaw] = useState<string>()
  const apply = (event: SyntheticEvent): void => {
    event.preventDefault()
    const isSpan = form.from === '' || form.to === '' || form.from <= form.to
    setFlaw(isSpan ? undefined : texts.usage.wrongDays)
    if (isSpan) setFilter(form)
  }
  return (
    <section>
      <h2>{texts.usage.log}</h2>
      <form className="filters" onSubmit={apply} noValidate>
        <Field label={texts.usage.from} error={flaw}>
          {(control) => (
            <input
              {...control}
              type="date"
              value={form.from}
              onChange={({ target }) => setForm({ ...form, from: target.value })}
            />
          )}
        </Field>
        <Field label={texts.usage.to}>
          {(control) => (
            <input {...control} type="date" value={form.to} onChange={({ target }) => setForm({ ...form, to: target.value })} />
          )}
        </Field>
        <Field label={texts.usage.product}>
          {(control) => (
            <select {...control} value={form.product} onChange={({ target }) => setForm({ ...form, product: target.value })}>
              <option value="">{texts.usage.allProducts}</option>
              {known.is === 'done' &&
                known.value.productList.map(({ productId, productName }) => (
                  <option key={productId} value={productId}>
                    {productName}
                  </option>
                ))}
            </select>
          )}
        </Field>
        <button type="submit">{texts.usage.filter}</button>
      </form>
      <Pages<LogRow>
        open={() =>
          market.log({
            from: filter.from || undefined,
            to: filter.to || undefined,
            productId: filter.product === '' ? undefined : Number(filter.product),
          })
        }
        inputs={[filter, market]}
        label={texts.usage.log}
        empty={texts.usage.empty}
        skeleton={<Skeleton lines={20} height={1.75} />}
      >
        {(rows) => (
          <Table
            caption={texts.usage.log}
            keyOf={({ id }) => id}
            rows={rows}
            columns={[
              { head: texts.usage.time, cell: ({ gmtCreated }) => format.dateTime(gmtCreated) },
              {
                head: texts.usage.product,
                cell: ({ productId, productName }) => <a href={to(`product/${productId}`)}>{productName}</a>,
              },
              {
                head: texts.usage.request,
                cell: ({ requestId }) => (
                  <a href={to('exchanges', { request: requestId })} title={texts.usage.detail}>
                    <code>{shortened(requestId)}</code>
                  </a>
                ),
              },
              { head: texts.usage.amount, isNumber: true, cell: ({ amount }) => format.money(amount) },
            ]}
          />
        )}
      </Pages>
    </section>
  )
}

/** The ends of a long name. */
export function shortened(name: string): string {
  return name.length <= 16 ? name : `${name.slice(0, 8)}…${name.slice(-6)}`
}

/** The sum of decimal texts, exact. */
export function sumOf(decimals: readonly string[]): string {
  const places = Math.max(0, ...decimals.map((text) => text.split('.')[1]?.length ?? 0))
  const sum = decimals.reduce((total, text) => {
    const [whole = '0', rest = ''] = text.split('.')
    return total + BigInt(whole + rest.padEnd(places, '0'))
  }, 0n)
  const digits = String(sum).padStart(places + 1, '0')
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`
}
