import { useEffect, useRef, useState, type SyntheticEvent } from 'react'
import type { NewProduct, ProductDetails } from 'sluice-sdk/des'
import { draftOf, emptyField, FIELD_TYPES, MAX_LOGO, readDraft, type Draft, type DraftField, type Flaws } from '../lib/draft.ts'
import { usePortal } from '../lib/portal.ts'
import { useAction } from '../lib/useAction.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Field } from '../parts/Field.tsx'
import { Problem } from '../parts/Loaded.tsx'

/** The form of a product: a new one, or the change of one. */
export function ProductForm({ product, submit }: { product?: ProductDetails; submit: (product: NewProduct) => Promise<void> }) {
  const { texts, categories } = usePortal()
  const { form } = texts
  const known = useLoad(categories, [])
  const action = useAction()
  const [draft, setDraft] = useState<Draft>(() => draftOf(product))
  const [flaws, setFlaws] = useState<Flaws>({})
  const element = useRef<HTMLFormElement>(null)
  const change = (part: Partial<Draft>): void => setDraft((draft) => ({ ...draft, ...part }))

  // To the first entry that needs attention.
  useEffect(() => {
    element.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus()
  }, [flaws])

  const send = (event: SyntheticEvent): void => {
    event.preventDefault()
    const read = readDraft(draft, form)
    setFlaws(read.flaws ?? {})
    if (!read.flaws) action.run(() => submit(read.product))
  }

  return (
    <form ref={element} className="product-form" onSubmit={send} noValidate>
      <section>
        <h2>{form.about}</h2>
        <Field label={form.name} error={flaws['productName']}>
          {(control) => (
            <input
              {...control}
              maxLength={100}
              value={draft.productName}
              onChange={({ target }) => change({ productName: target.value })}
            />
          )}
        </Field>
        <Field label={form.description} optional>
          {(control) => (
            <textarea
              {...control}
              rows={3}
              maxLength={2000}
              value={draft.briefDesc}
              onChange={({ target }) => change({ briefDesc: target.value })}
            />
          )}
        </Field>
        <div className="pair">
          <Field label={form.category} error={flaws['categoryId']}>
            {(control) => (
              <select
                {...control}
                value={draft.categoryId}
                onChange={({ target }) => change({ categoryId: Number(target.value) })}
              >
                <option value={0} disabled />
                {known.is === 'done' &&
                  known.value.map(({ categoryId, categoryName }) => (
                    <option key={categoryId} value={categoryId}>
                      {categoryName}
                    </option>
                  ))}
              </select>
            )}
          </Field>
          <Field label={form.price} hint={form.priceHint} error={flaws['price']}>
            {(control) => (
              <input
                {...control}
                inputMode="decimal"
                value={draft.price}
                onChange={({ target }) => change({ price: target.value })}
              />
            )}
          </Field>
        </div>
        {!product && (
          <fieldset className="choice">
            <legend>{form.market}</legend>
            {([0, 1] as const).map((share) => (
              <label key={share}>
                <input
                  type="radio"
                  name="market"
                  checked={draft.shareStatus === share}
                  onChange={() => change({ shareStatus: share })}
                />
                <span>
                  {share === 0 ? texts.products.alliance : texts.products.free}
                  <span className="quiet"> · {share === 0 ? form.allianceHint : form.freeHint}</span>
                </span>
              </label>
            ))}
          </fieldset>
        )}
        {!product && draft.shareStatus === 0 && (
          <Field label={form.threshold} error={flaws['threshold']}>
            {(control) => (
              <input
                {...control}
                className="short"
                inputMode="decimal"
                value={draft.threshold}
                onChange={({ target }) => change({ threshold: target.value })}
              />
            )}
          </Field>
        )}
        <label className="check">
          <input type="checkbox" checked={draft.privacy} onChange={({ target }) => change({ privacy: target.checked })} />
          <span>{form.privacy}</span>
        </label>
        <LogoField present={product?.logoUrl} logo={draft.logo} onChange={(logo) => change({ logo })} />
      </section>
      <FieldList
        list="input"
        title={form.inputs}
        add={form.addInput}
        fields={draft.input}
        flaws={flaws}
        onChange={(input) => change({ input })}
      />
      <FieldList
        list="output"
        title={form.outputs}
        add={form.addOutput}
        fields={draft.output}
        flaws={flaws}
        onChange={(output) => change({ output })}
      />
      {Object.keys(flaws).length > 0 && (
        <p className="problem" role="alert">
          {form.fix}
        </p>
      )}
      <Problem error={action.error} />
      <div className="actions">
        <button type="submit" className="primary" disabled={action.busy}>
          {product ? form.submitChange : form.publish}
        </button>
      </div>
    </form>
  )
}

/** A picture from a file, looked at before it is sent. */
function LogoField({
  present,
  logo,
  onChange,
}: {
  present: string | undefined
  logo: string | undefined
  onChange: (logo: string) => void
}) {
  const { texts, format } = usePortal()
  const [flaw, setFlaw] = useState<string>()
  const input = useRef<HTMLInputElement>(null)
  const shown = logo ?? present ?? ''

  const take = async (file: File): Promise<void> => {
    const isPicture = ['image/png', 'image/jpeg', 'image/webp'].includes(file.type)
    const isSmall = file.size <= MAX_LOGO
    setFlaw(
      !isPicture
        ? texts.form.logoWrongType
        : isSmall
        ? undefined
        : texts.form.logoTooLarge(format.number(Math.ceil(file.size / 1024))),
    )
    if (!isPicture || !isSmall) return void (input.current!.value = '')
    const bytes = new Uint8Array(await file.arrayBuffer())
    const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
    onChange(`data:${file.type};base64,${btoa(text)}`)
  }

  return (
    <div className="logo-field">
      {shown === '' ? (
        <span className="logo" aria-hidden="true" />
      ) : (
        <img className="logo" src={shown} alt={texts.form.logoAlt} width={64} height={64} />
      )}
      <Field label={texts.form.logo} hint={texts.form.logoHint} error={flaw} optional>
        {(control) => (
          <input
            {...control}
            ref={input}
            type="file"
            accept="image/png,image/jpeg,image/webp"
            onChange={({ target }) => target.files?.[0] && void take(target.files[0])}
          />
        )}
      </Field>
      {shown !== '' && (
        <button
          type="button"
          onClick={() => {
            input.current!.value = ''
            onChange('')
          }}
        >
          {texts.form.logoRemove}
        </button>
      )}
    </div>
  )
}

/** Fields that can be added and removed. */
function FieldList({
  list,
  title,
  add,
  fields,
  flaws,
  onChange,
}: {
  list: 'input' | 'output'
  title: string
  add: string
  fields: readonly DraftField[]
  flaws: Flaws
  onChange: (fields: readonly DraftField[]) => void
}) {
  const { texts } = usePortal()
  const { form } = texts
  const added = useRef<number>(undefined)
  const adder = useRef<HTMLButtonElement>(null)
  const change = (key: number, part: Partial<DraftField>): void =>
    onChange(fields.map((field) => (field.key === key ? { ...field, ...part } : field)))
  const flawOf = (key: number, part: string): string | undefined => flaws[`${list}.${key}.${part}`]

  return (
    <section>
      <h2>{title}</h2>
      {fields.map(({ key, name, type, desc, required, sample }, index) => (
        <fieldset key={key} className="field-row">
          <legend>{form.fieldLegend(index + 1)}</legend>
          <Field label={form.fieldName} error={flawOf(key, 'name')}>
            {(control) => (
              <input
                {...control}
                // Who has added a field goes on in it.
                autoFocus={added.current === key}
                maxLength={64}
                autoCapitalize="none"
                spellCheck={false}
                value={name}
                onChange={({ target }) => change(key, { name: target.value })}
              />
            )}
          </Field>
          <Field label={form.fieldType}>
            {(control) => (
              <select
                {...control}
                value={type}
                onChange={({ target }) => change(key, { type: target.value as DraftField['type'] })}
              >
                {FIELD_TYPES.map((each) => (
                  <option key={each}>{each}</option>
                ))}
              </select>
            )}
          </Field>
          <Field label={form.fieldMeaning} optional>
            {(control) => <input {...control} value={desc} onChange={({ target }) => change(key, { desc: target.value })} />}
          </Field>
          <Field label={form.fieldSample} error={flawOf(key, 'sample')} optional>
            {(control) => <input {...control} value={sample} onChange={({ target }) => change(key, { sample: target.value })} />}
          </Field>
          <label className="check">
            <input type="checkbox" checked={required} onChange={({ target }) => change(key, { required: target.checked })} />
            <span>{form.fieldRequired}</span>
          </label>
          <button
            type="button"
            aria-label={form.remove(name)}
            className="remove"
            onClick={() => {
              onChange(fields.filter((field) => field.key !== key))
              adder.current?.focus()
            }}
          >
            {texts.form.remove('')}
          </button>
        </fieldset>
      ))}
      <button
        ref={adder}
        type="button"
        onClick={() => {
          const field = emptyField()
          added.current = field.key
          onChange([...fields, field])
        }}
      >
        {add}
      </button>
    </section>
  )
}
