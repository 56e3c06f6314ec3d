import { useState } from 'react'
import { dayText } from '../lib/format.ts'
import { usePortal } from '../lib/portal.ts'
import { to } from '../lib/route.ts'
import { useAction } from '../lib/useAction.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Field } from '../parts/Field.tsx'
import { Figures } from '../parts/Figures.tsx'
import { Loaded, Problem, Skeleton } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'
import { Table } from '../parts/Table.tsx'
import { sumOf } from './UsagePage.tsx'

/** Months that one may choose from. */
const MONTHS = 12

/** The bill of a month by product, to look at and to take away. */
export function BillPage() {
  const { texts, format, market } = usePortal()
  const [months] = useState(() => lastMonths(Date.now()))
  const [month, setMonth] = useState(months[0]!)
  const load = useLoad(async () => {
    const [bill, total] = await Promise.all([market.monthBill(month), market.monthTotal(month)])
    return { bill, total }
  }, [month, market])
  const download = useAction()

  return (
    <Page title={texts.bill.title} intro={texts.zone}>
      <div className="filters">
        <Field label={texts.bill.month}>
          {(control) => (
            <select {...control} value={month} onChange={({ target }) => setMonth(target.value)}>
              {months.map((each) => (
                <option key={each} value={each}>
                  {format.month(each)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <button
          type="button"
          disabled={download.busy}
          onClick={() => download.run(async () => save(await market.monthBillTable(month), `bill-${month.slice(0, 7)}.csv`))}
        >
          {texts.bill.download}
        </button>
      </div>
      <Problem error={download.error} />
      <Loaded of={load} skeleton={<Skeleton lines={7} height={2.5} />}>
        {({ bill, total }) => (
          <>
            <Figures
              items={[
                [texts.bill.consumed, format.money(total.consumeAmount ?? '0')],
                [texts.bill.income, format.money(total.incomeAmount ?? '0')],
                [texts.bill.count, format.number(total.transferCount ?? 0)],
                [texts.bill.balance, format.money(total.balance ?? '0')],
              ]}
            />
            {bill.length === 0 ? (
              <p className="empty">{texts.bill.empty}</p>
            ) : (
              <Table
                caption={`${texts.bill.title}, ${format.month(month)}`}
                keyOf={({ productId }) => productId}
                rows={bill}
                columns={[
                  {
                    head: texts.bill.product,
                    cell: ({ productId, productName }) => <a href={to(`product/${productId}`)}>{productName}</a>,
                  },
                  { head: texts.bill.count, isNumber: true, cell: ({ transferCount }) => format.number(transferCount) },
                  { head: texts.bill.unitPrice, isNumber: true, cell: ({ unitPrice }) => format.money(unitPrice) },
                  { head: texts.bill.amount, isNumber: true, cell: ({ consumeAmount }) => format.money(consumeAmount) },
                ]}
                sum={[
                  texts.bill.total,
                  format.number(bill.reduce((sum, { transferCount }) => sum + transferCount, 0)),
                  '',
                  format.money(sumOf(bill.map(({ consumeAmount }) => consumeAmount))),
                ]}
              />
            )}
          </>
        )}
      </Loaded>
    </Page>
  )
}

/** The first days of the last months in UTC+8, this month's first. */
function lastMonths(now: number): string[] {
  const [year, month] = dayText(now).split('-').map(Number) as [number, number]
  return Array.from({ length: MONTHS }, (_, back) => new Date(Date.UTC(year, month - 1 - back, 1)).toISOString().slice(0, 10))
}

function save(table: string, name: string): void {
  const link = document.createElement('a')
  // Without the mark Excel reads another encoding.
  link.href = URL.createObjectURL(new Blob(['\uFEFF', table], { type: 'text/csv' }))
  link.download = name
  link.click()
  // The download has its own hold on the file once it has begun.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
