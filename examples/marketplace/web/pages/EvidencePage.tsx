import { useEffect, useState, type ReactNode, type SyntheticEvent } from 'react'
import { engine, fromHex, toHex } from 'sluice-sdk'
import { evidenceText, verifyEvidence, type EvidenceItem } from 'sluice-sdk/des'
import { reader } from '../lib/exchange.ts'
import { usePortal } from '../lib/portal.ts'
import { evidenceName } from '../lib/requestName.ts'
import { go } from '../lib/route.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Field } from '../parts/Field.tsx'
import { Loaded, Skeleton } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'

/** Checks what the exchange says of a request's answers, in this browser. */
export function EvidencePage({ request }: { request: string }) {
  const { texts } = usePortal()
  const [text, setText] = useState(request)
  const [flaw, setFlaw] = useState<string>()
  const name = evidenceName(request)
  useEffect(() => setText(request), [request])

  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    const isName = evidenceName(text) !== undefined
    setFlaw(isName ? undefined : texts.evidence.wrong)
    if (isName) go('evidence', { request: text.trim() })
  }
  return (
    <Page title={texts.evidence.title} intro={texts.evidence.intro}>
      <form className="filters wide" onSubmit={submit} noValidate>
        <Field label={texts.evidence.label} hint={texts.evidence.hint} error={flaw}>
          {(control) => (
            <input
              {...control}
              className="mono"
              value={text}
              autoCapitalize="none"
              spellCheck={false}
              onChange={({ target }) => setText(target.value)}
            />
          )}
        </Field>
        <button type="submit" className="primary">
          {texts.evidence.check}
        </button>
      </form>
      {name !== undefined && <Answers key={name} name={name} />}
    </Page>
  )
}

function Answers({ name }: { name: string }) {
  const { texts } = usePortal()
  const load = useLoad(() => reader.evidence(name), [name])
  return (
    <Loaded of={load} skeleton={<Skeleton lines={10} height={1.75} />}>
      {(items, reload) => {
        const good = items.filter(verifyEvidence).length
        return items.length === 0 ? (
          <p className="empty">{texts.evidence.empty}</p>
        ) : (
          <>
            <div className="verdict-head">
              <p role="status">
                <strong>{texts.evidence.summary(good, items.length)}</strong>
              </p>
              <button type="button" onClick={reload}>
                {texts.evidence.again}
              </button>
            </div>
            {items.map((item) => (
              <Answer key={item.position} item={item} />
            ))}
          </>
        )
      }}
    </Loaded>
  )
}

function Answer({ item }: { item: EvidenceItem }) {
  const { texts } = usePortal()
  const { evidence } = texts
  const { anchor, position, payer, payee, productId, version, digest, cid, txid } = item
  const verdict = anchor === undefined ? 'waiting' : verifyEvidence(item) ? 'proven' : 'failed'
  const own = engine().sha256(new TextEncoder().encode(evidenceText(item)))
  // As RFC 6962 hashes leaves, so that none can pass for a node of the tree.
  const leaf = toHex(engine().sha256(fromHex(`0x00${toHex(own).slice(2)}`))).slice(2)
  const hash = (value: string): ReactNode => <code className="hash">{value}</code>
  const facts: (readonly [string, ReactNode])[] = [
    [evidence.given, hash(digest)],
    [evidence.own, hash(toHex(own).slice(2))],
    [evidence.leaf, hash(leaf)],
    ...(anchor
      ? ([
        [evidence.proof, evidence.proofOf(anchor.index, anchor.size, anchor.proof.length / 64)],
        [evidence.root, hash(anchor.root)],
        [evidence.chain, anchor.txid ? hash(anchor.txid) : evidence.noChain],
      ] as const)
      : []),
    [evidence.cid, hash(cid)],
    [evidence.transfer, hash(txid)],
    [evidence.product, evidence.productOf(productId, version)],
    [evidence.payer, payer],
    [evidence.payee, payee],
  ]
  return (
    <section className={`evidence ${verdict}`}>
      <h2>
        {evidence.answer(position + 1, payee)}
        <span className="verdict">{evidence[verdict]}</span>
      </h2>
      <p>{evidence[`${verdict}Text`]}</p>
      <dl className="proof">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
