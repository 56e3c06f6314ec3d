import { useState } from 'react'
import type { FieldSpec, FieldSpecs, ProductDetails, VoteDetails } from 'sluice-sdk/des'
import { usePortal, useSession, type Portal } from '../lib/portal.ts'
import { to } from '../lib/route.ts'
import { useLoad } from '../lib/useLoad.ts'
import { sampleText } from '../parts/FieldTable.tsx'
import { Loaded, Skeleton } from '../parts/Loaded.tsx'
import { Logo } from '../parts/Logo.tsx'
import { Page } from '../parts/Page.tsx'
import { Ballot, Tally, VoteState } from './ballot.tsx'

/** A vote: what it is about, how it stands, and one's own. */
export function VotePage({ id }: { id: number }) {
  const { texts, market } = usePortal()
  const load = useLoad(async () => {
    const vote = await market.voteDetails(id)
    const [product, mine] = await Promise.all([market.product(vote.productId), isWaiting(id, vote)])
    return { vote, product, mine }
  }, [id, market])
  const { merchantId } = useSession()

  /** Whether one's own vote is missing: then it is in the list of those. */
  async function isWaiting(voteId: number, { status, productId }: VoteDetails): Promise<boolean> {
    if (status !== 'INPROGRESS') return false
    for await (const open of market.votes(productId, 'open')) if (open.voteId === voteId) return true
    return false
  }

  const title = load.is === 'done' ? texts.votes.kinds[load.value.vote.type] : texts.votes.title
  return (
    <Page title={title}>
      <Loaded of={load} skeleton={<Skeleton lines={10} />}>
        {({ vote, product, mine }, reload) => (
          <>
            <p className="lead-line">
              <a href={to(`product/${vote.productId}`)}>{product.productName}</a>{' '}
              <span className="quiet">
                · {texts.votes.requester} {texts.product.merchant(vote.requester)}
                {vote.requester === merchantId && ` (${texts.product.you})`}
              </span>
            </p>
            <section className="panel vote-panel">
              <div className="vote-state">
                <VoteState vote={vote} />
                <Tally vote={vote} />
              </div>
              <Cast vote={vote} name={product.productName} isOpen={mine} reload={reload} />
            </section>
            {vote.type === 'UPDATE_PRODUCT' ? <Changes from={vote.from} to={vote.to} /> : <Joining members={vote.members} />}
          </>
        )}
      </Loaded>
    </Page>
  )
}

/** The buttons for who has not voted yet; what became of the vote takes their place. */
function Cast({ vote, name, isOpen, reload }: { vote: VoteDetails; name: string; isOpen: boolean; reload: () => void }) {
  const [isMine] = useState(isOpen)
  return isMine && <Ballot vote={vote} name={name} onVoted={reload} />
}

function Joining({ members }: { members: Extract<VoteDetails, { type: 'APPLY' }>['members'] }) {
  const { texts } = usePortal()
  return (
    <section>
      <h2>{texts.votes.who}</h2>
      <ul className="rows">
        {members.map(({ merchantId, merchantName, authorizerName, merchantAddress, logoUrl }) => {
          const name = merchantName || texts.product.merchant(merchantId)
          return (
            <li key={merchantId} className="member">
              <Logo url={logoUrl} name={name} />
              <div>
                <h3>{name}</h3>
                <p className="quiet">
                  {[texts.product.merchant(merchantId), authorizerName].filter(Boolean).join(' · ')}
                  {/^https?:\/\//.test(merchantAddress ?? '') && (
                    <>
                      {' · '}
                      <a href={merchantAddress} rel="noreferrer noopener" target="_blank">
                        {merchantAddress}
                      </a>
                    </>
                  )}
                </p>
              </div>
            </li>
          )
        })}
      </ul>
    </section>
  )
}

/** A property of a product before and after. */
interface Property {
  readonly name: string
  readonly from: string
  readonly to: string
}

/** Two versions side by side: what differs, and how much doesn't. */
function Changes({ from, to }: { from: ProductDetails; to: ProductDetails }) {
  const portal = usePortal()
  const { texts, categories } = portal
  const names = useLoad(categories, [])
  const categoryName = (id: number): string =>
    (names.is === 'done' && names.value.find(({ categoryId }) => categoryId === id)?.categoryName) || String(id)
  const all = propertiesOf(from, to, portal, categoryName)
  const changed = all.filter((each) => each.from !== each.to)
  const hasLogo = from.logoUrl !== to.logoUrl
  const { before, after } = texts.votes

  return (
    <section>
      <h2>{texts.votes.changes}</h2>
      <table role="table" className="changes">
        <caption className="unseen">{texts.votes.changes}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {[texts.votes.property, before, after].map((head) => (
              <th key={head} role="columnheader" scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {hasLogo && (
            <tr role="row">
              <th role="rowheader" scope="row">
                {texts.form.logo}
              </th>
              {(
                [
                  [before, from],
                  [after, to],
                ] as const
              ).map(([label, product]) => (
                <td key={label} role="cell" data-label={label}>
                  <div>
                    {product.logoUrl ? (
                      <img className="logo" src={product.logoUrl} alt={`${texts.form.logo}: ${label}`} width={48} height={48} />
                    ) : (
                      texts.votes.absent
                    )}
                  </div>
                </td>
              ))}
            </tr>
          )}
          {changed.map((property) => (
            <tr key={property.name} role="row">
              <th role="rowheader" scope="row">
                {property.name}
              </th>
              <td role="cell" data-label={before}>
                <span className="old">{property.from || texts.votes.absent}</span>
              </td>
              <td role="cell" data-label={after}>
                <span className="new">{property.to || texts.votes.absent}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="quiet">{texts.votes.unchanged(all.length - changed.length + (hasLogo ? 0 : 1))}</p>
    </section>
  )
}

function propertiesOf(
  from: ProductDetails,
  to: ProductDetails,
  { texts, format }: Portal,
  categoryName: (id: number) => string,
): Property[] {
  const of = (name: string, read: (product: ProductDetails) => string): Property => ({ name, from: read(from), to: read(to) })
  const fields = (list: 'input' | 'output', nameOf: (name: string) => string): Property[] =>
    [...new Set([...Object.keys(from[list]), ...Object.keys(to[list])])].map((name) =>
      of(nameOf(name), (product) => fieldText(product[list], name)),
    )
  const fieldText = (specs: FieldSpecs, name: string): string => {
    const spec: FieldSpec | undefined = Object.hasOwn(specs, name) ? specs[name] : undefined
    if (!spec) return ''
    const { type, desc, required, sample, ...rest } = spec
    const more = Object.keys(rest).length > 0 ? JSON.stringify(rest) : ''
    return [type, required ? texts.product.required : texts.optional, desc, sampleText(sample), more].filter(Boolean).join(' · ')
  }
  return [
    of(texts.form.name, ({ productName }) => productName),
    of(texts.form.description, ({ briefDesc }) => briefDesc ?? ''),
    of(texts.product.price, ({ price }) => format.price(price)),
    of(texts.product.category, ({ categoryId }) => categoryName(categoryId)),
    of(texts.products.privacyOf, ({ privacy }) => (privacy ? texts.yes : texts.no)),
    ...fields('input', texts.votes.inputField),
    ...fields('output', texts.votes.outputField),
  ]
}
