import { useState, type ReactNode, type SyntheticEvent } from 'react'
import type { OpenedVote, ProductAnswer, ProductDetails } from 'sluice-sdk/des'
import { reader } from '../lib/exchange.ts'
import { usePortal } from '../lib/portal.ts'
import { go, to } from '../lib/route.ts'
import { useAction } from '../lib/useAction.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Field } from '../parts/Field.tsx'
import { FieldTable } from '../parts/FieldTable.tsx'
import { Loaded, Problem, Skeleton } from '../parts/Loaded.tsx'
import { Logo } from '../parts/Logo.tsx'
import { Page } from '../parts/Page.tsx'

/** A product: what it asks, answers and costs, who sells it now, and what a member may do about it. */
export function ProductPage({ id, version }: { id: number; version: number | undefined }) {
  const { texts, market } = usePortal()
  const load = useLoad(async () => {
    const [newest, sale] = await Promise.all([market.product(id), reader.getProduct(id)])
    const isOlder = version !== undefined && version !== newest.version
    return { newest, sale, product: isOlder ? await market.product(id, version) : newest }
  }, [id, version])
  const title = load.is === 'done' ? load.value.product.productName : texts.nav.products
  return (
    <Page title={title}>
      <Loaded of={load} skeleton={<Skeleton lines={14} />}>
        {({ newest, sale, product }, reload) => <Product id={id} newest={newest} product={product} sale={sale} reload={reload} />}
      </Loaded>
    </Page>
  )
}

function Product({
  id,
  newest,
  product,
  sale,
  reload,
}: {
  id: number
  newest: ProductDetails
  product: ProductDetails
  sale: ProductAnswer
  reload: () => void
}) {
  const { texts, format, session, categories } = usePortal()
  const names = useLoad(categories, [])
  const versions = newest.version ?? 1
  const category =
    names.is === 'done' ? names.value.find(({ categoryId }) => categoryId === product.categoryId)?.categoryName : undefined
  const online = new Set(sale.onlineDatasources.map(({ accountId }) => accountId))
  const isMember = session !== undefined && sale.product.datasources.includes(session.account)
  const isFree = newest.shareStatus === 1

  return (
    <div className="columns">
      <div className="main-column">
        <div className="lead">
          <Logo url={product.logoUrl} name={product.productName} size={64} />
          <p>{product.briefDesc || texts.product.noDescription}</p>
        </div>
        {product !== newest && (
          <p className="note">
            {texts.product.older} <a href={to(`product/${id}`)}>{texts.product.newest(versions)}</a>
          </p>
        )}
        <section>
          <h2>{texts.product.inputOf}</h2>
          <FieldTable caption={texts.product.input} fields={product.input} />
        </section>
        <section>
          <h2>{texts.product.outputOf}</h2>
          <FieldTable caption={texts.product.output} fields={product.output} />
        </section>
      </div>
      <aside className="side-column">
        <section className="panel">
          <p className="price">
            <strong>{format.price(product.price)}</strong> <span className="quiet">{texts.products.perAnswer}</span>
          </p>
          <dl className="facts">
            <Fact name={texts.product.category}>{category ?? product.categoryId}</Fact>
            <Fact name={texts.product.market}>{isFree ? texts.products.free : texts.products.alliance}</Fact>
            <Fact name={texts.product.issuer}>{texts.product.merchant(sale.product.issuer)}</Fact>
            {!isFree && newest.voteThreshold !== undefined && (
              <Fact name={texts.product.threshold}>{format.percent(newest.voteThreshold)}</Fact>
            )}
            <Fact name={texts.products.privacyOf}>{product.privacy ? texts.yes : texts.no}</Fact>
          </dl>
          <Field label={texts.product.version}>
            {(control) => (
              <select
                {...control}
                value={product.version}
                onChange={({ target }) => go(`product/${id}`, Number(target.value) === versions ? {} : { version: target.value })}
              >
                {Array.from({ length: versions }, (_, behind) => versions - behind).map((version) => (
                  <option key={version} value={version}>
                    {version === versions ? texts.product.newest(version) : texts.product.versionOf(version)}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </section>
        <section className="panel">
          <h2>{texts.product.sources}</h2>
          <p className="quiet">{texts.product.sourcesOnline(online.size, sale.product.datasources.length)}</p>
          <ul className="sources">
            {sale.product.datasources.map((account) => (
              <li key={account}>
                <span className={`dot ${online.has(account) ? 'on' : ''}`} aria-hidden="true" />
                <span>
                  {account}
                  {account === session?.account && <span className="quiet"> ({texts.product.you})</span>}
                </span>
                <span className="quiet">{online.has(account) ? texts.product.online : texts.product.offline}</span>
              </li>
            ))}
          </ul>
          {session ? (
            <Selling id={id} isMember={isMember} isFree={isFree} reload={reload} />
          ) : (
            <p>
              <a href={to('sign-in', { next: `product/${id}` })}>{texts.product.signInToSell}</a>
            </p>
          )}
        </section>
      </aside>
    </div>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** What who has signed in may do: apply, or invite and propose. */
function Selling({ id, isMember, isFree, reload }: { id: number; isMember: boolean; isFree: boolean; reload: () => void }) {
  const { texts, market } = usePortal()
  const action = useAction()
  const [opened, setOpened] = useState<OpenedVote>()
  const [members, setMembers] = useState('')
  const [flaw, setFlaw] = useState<string>()

  const open = (work: () => Promise<OpenedVote>): void =>
    action.run(async () => {
      setOpened(await work())
      reload()
    })
  const invite = (event: SyntheticEvent): void => {
    event.preventDefault()
    const isList = /^\s*\d{1,9}(\s*[,，\s]\s*\d{1,9})*\s*$/.test(members)
    setFlaw(isList ? undefined : texts.product.inviteWrong)
    if (isList) open(() => market.inviteMembers(id, members.match(/\d+/g)!.map(Number)))
  }

  return (
    <div className="selling">
      {!isFree && !isMember && !opened && (
        <button type="button" className="primary" disabled={action.busy} onClick={() => open(() => market.applyToSell(id))}>
          {texts.product.apply}
        </button>
      )}
      {!isFree && isMember && !opened && (
        <form onSubmit={invite} noValidate>
          <Field label={texts.product.inviteLabel} hint={texts.product.inviteHint} error={flaw}>
            {(control) => (
              <input {...control} inputMode="numeric" value={members} onChange={({ target }) => setMembers(target.value)} />
            )}
          </Field>
          <button type="submit" disabled={action.busy}>
            {texts.product.invite}
          </button>
        </form>
      )}
      {opened && (
        <p className="note" role="status">
          {opened.status === 'PASS' ? texts.product.joinedNow : isMember ? texts.product.invited : texts.product.applied}{' '}
          {opened.voteId !== null && <a href={to(`vote/${opened.voteId}`)}>{texts.product.toVote}</a>}
        </p>
      )}
      <Problem error={action.error} />
      {isMember && (
        <>
          <a className="button" href={to(`product/${id}/change`)}>
            {texts.product.propose}
          </a>
          {!isFree && <a href={to('votes/open', { product: id })}>{texts.product.votes}</a>}
        </>
      )}
    </div>
  )
}
