import type { VoteSummary } from 'sluice-sdk/des'
import { usePortal } from '../lib/portal.ts'
import { to } from '../lib/route.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Loaded, Skeleton } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'
import { Pages } from '../parts/Pages.tsx'
import { Tabs } from '../parts/Tabs.tsx'
import { Ballot, Tally, VoteState } from './ballot.tsx'

/** Lists of votes. */
export type VoteList = 'open' | 'passed' | 'rejected'

/** Votes of one's products: those that wait for one's own, and how others ended. */
export function VotesPage({ which, product }: { which: VoteList; product: number | 'all' }) {
  const { texts, market } = usePortal()
  const query: Record<string, string | number> = product === 'all' ? {} : { product }
  return (
    <Page title={texts.votes.title} intro={texts.votes.intro}>
      <Tabs
        label={texts.votes.which}
        items={(['open', 'passed', 'rejected'] as const).map((each) => ({
          text: texts.votes[each],
          href: to(`votes/${each}`, query),
          isCurrent: each === which,
        }))}
      />
      {product !== 'all' && (
        <p>
          <a href={to(`product/${product}`)}>
            {texts.votes.product} {product}
          </a>{' '}
          · <a href={to(`votes/${which}`)}>{texts.votes.all}</a>
        </p>
      )}
      <Pages<VoteSummary>
        open={() => market.votes(product, which)}
        inputs={[which, product, market]}
        label={texts.votes.title}
        empty={which === 'open' ? texts.votes.emptyOpen : texts.votes.emptyOther}
        skeleton={<Skeleton lines={3} height={7} />}
      >
        {(votes) => (
          <ul className="rows">
            {votes.map((vote) => (
              <VoteRow key={vote.voteId} vote={vote} />
            ))}
          </ul>
        )}
      </Pages>
    </Page>
  )
}

function VoteRow({ vote }: { vote: VoteSummary }) {
  const { texts, format, market } = usePortal()
  const { voteId, productName, type, requester, createDate } = vote
  const load = useLoad(() => market.voteDetails(voteId), [voteId, market])
  return (
    <li className="vote">
      <div className="vote-head">
        <h2>
          <a href={to(`vote/${voteId}`)}>{productName}</a>
        </h2>
        <span className="tag">{texts.votes.kinds[type]}</span>
      </div>
      <p className="quiet">
        {texts.votes.requester} {texts.product.merchant(requester)} · {texts.votes.created}{' '}
        {format.dateTime(Date.parse(`${createDate}+08:00`))}
      </p>
      <Loaded of={load} skeleton={<Skeleton lines={2} />}>
        {(details, reload) => (
          <>
            <div className="vote-state">
              <VoteState vote={details} />
              <Tally vote={details} />
            </div>
            {vote.status === 'INPROGRESS' && <Ballot vote={details} name={productName} onVoted={reload} />}
          </>
        )}
      </Loaded>
    </li>
  )
}
