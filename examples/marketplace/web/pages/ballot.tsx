/**
 * What votes look like wherever they are: how they stand, and the two buttons.
 * @module
 */
import { useState } from 'react'
import type { VoteDetails } from 'sluice-sdk/des'
import { usePortal } from '../lib/portal.ts'
import { useAction } from '../lib/useAction.ts'
import { Countdown } from '../parts/Countdown.tsx'
import { Problem } from '../parts/Loaded.tsx'

/** Where a vote stands; while it is open, with the time that is left. */
export function VoteState({ vote: { status = 'INPROGRESS', expireAt } }: { vote: VoteDetails }) {
  const { texts } = usePortal()
  return (
    <span className={`state ${status.toLowerCase()}`}>
      {texts.votes.states[status]}
      {status === 'INPROGRESS' && expireAt !== undefined && (
        <>
          {' · '}
          <span className="unseen">{texts.votes.left} </span>
          <Countdown until={expireAt} />
        </>
      )}
    </span>
  )
}

/** How many have agreed, of how many that are needed. */
export function Tally({ vote }: { vote: VoteDetails }) {
  const { texts } = usePortal()
  const { agreeCount = 0, disagreeCount = 0, neededCount = 0, voterCount = 0 } = vote
  return (
    <div className="tally">
      <span className="marks" aria-hidden="true">
        {Array.from({ length: Math.min(voterCount, 24) }, (_, mark) => (
          <i key={mark} className={mark < agreeCount ? 'for' : mark >= voterCount - disagreeCount ? 'against' : undefined} />
        ))}
      </span>
      <span>
        {texts.votes.tally(agreeCount, neededCount, voterCount)}
        {disagreeCount > 0 && `, ${texts.votes.against(disagreeCount)}`}
      </span>
    </div>
  )
}

/** Agree and disagree; then what became of it. */
export function Ballot({ vote, name, onVoted }: { vote: VoteDetails; name: string; onVoted: () => void }) {
  const { texts, market, recount } = usePortal()
  const action = useAction()
  const [hasVoted, setVoted] = useState(false)
  const cast = (agree: boolean): void =>
    action.run(async () => {
      await market.vote(vote.voteId, agree)
      setVoted(true)
      onVoted()
      recount()
    })
  if (hasVoted) {
    const { status } = vote
    return (
      <p className="note" role="status">
        {status === 'PASS' ? texts.votes.votePassed : status === 'REJECT' ? texts.votes.voteRejected : texts.votes.you}
      </p>
    )
  }
  return (
    <>
      <div className="actions">
        <button
          type="button"
          className="primary"
          disabled={action.busy}
          aria-label={texts.votes.agreeOn(name)}
          onClick={() => cast(true)}
        >
          {texts.votes.agree}
        </button>
        <button type="button" disabled={action.busy} aria-label={texts.votes.disagreeOn(name)} onClick={() => cast(false)}>
          {texts.votes.disagree}
        </button>
      </div>
      <Problem error={action.error} />
    </>
  )
}
