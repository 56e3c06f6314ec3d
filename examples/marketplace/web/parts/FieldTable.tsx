import type { FieldSpec, FieldSpecs } from 'sluice-sdk/des'
import { usePortal } from '../lib/portal.ts'
import { Table } from './Table.tsx'

/** The fields of a product's input or output. */
export function FieldTable({ caption, fields }: { caption: string; fields: FieldSpecs }) {
  const { texts } = usePortal()
  const rows = Object.entries(fields)
  if (rows.length === 0) return <p className="empty">{texts.product.noFields}</p>
  return (
    <Table<[string, FieldSpec]>
      caption={caption}
      keyOf={([name]) => name}
      rows={rows}
      columns={[
        {
          head: texts.product.field,
          cell: ([name, { required }]) => (
            <>
              <code>{name}</code>
              {required && <span className="quiet"> {texts.product.required}</span>}
            </>
          ),
        },
        { head: texts.product.type, cell: ([, { type }]) => <code>{type}</code> },
        { head: texts.product.meaning, cell: ([, { desc }]) => desc ?? '' },
        { head: texts.product.sample, cell: ([, { sample }]) => sample !== undefined && <code>{sampleText(sample)}</code> },
      ]}
    />
  )
}

/** A sample as people write it. */
export function sampleText(sample: unknown): string {
  return sample === undefined ? '' : typeof sample === 'string' ? sample : JSON.stringify(sample)
}
