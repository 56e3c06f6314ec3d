import { useState } from 'react'
import type { Notice } from 'sluice-sdk/des'
import { createPager } from '../lib/pager.ts'
import { usePortal } from '../lib/portal.ts'
import { to } from '../lib/route.ts'
import type { Texts } from '../lib/texts.ts'
import { useAction } from '../lib/useAction.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Loaded, Problem, Skeleton } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'
import { PAGE } from '../parts/Pages.tsx'
import { Segments } from '../parts/Tabs.tsx'

/** What the merchant should know, unread first if one likes. */
export function NoticesPage() {
  const { texts, format, market, recount } = usePortal()
  const [which, setWhich] = useState<'all' | 'unread'>('all')
  const [page, setPage] = useState(0)
  // Read anew each time: which are unread changes under the reader's hands.
  const load = useLoad(() => createPager(() => market.notices({ unread: which === 'unread' }), PAGE)(page), [which, page, market])
  const action = useAction()
  const read = (ids: readonly number[] | 'all', reload: () => void): void =>
    action.run(async () => {
      await market.readNotices(ids)
      reload()
      recount()
    })

  return (
    <Page
      title={texts.notices.title}
      actions={
        <Segments
          label={texts.notices.which}
          value={which}
          options={(['all', 'unread'] as const).map((value) => ({ value, text: texts.notices[value] }))}
          onChange={(value) => {
            setWhich(value)
            setPage(0)
          }}
        />
      }
    >
      <Problem error={action.error} />
      <Loaded of={load} skeleton={<Skeleton lines={8} height={3} />}>
        {({ rows, more }, reload) =>
          rows.length === 0 ? (
            <p className="empty">{which === 'unread' ? texts.notices.emptyUnread : texts.notices.empty}</p>
          ) : (
            <>
              <div className="actions">
                <button
                  type="button"
                  disabled={action.busy || rows.every((notice) => notice.read)}
                  onClick={() => read('all', reload)}
                >
                  {texts.notices.readAll}
                </button>
              </div>
              <ul className="rows">
                {rows.map((notice) => (
                  <li key={notice.noticeId} className={notice.read ? 'notice' : 'notice unread'}>
                    <p>
                      {!notice.read && <span className="tag">{texts.notices.new}</span>} {sentence(notice, texts)}
                    </p>
                    <p className="quiet">
                      {format.dateTime(notice.gmtCreated)}
                      {link(notice, texts) && ' · '}
                      {link(notice, texts) && (
                        <a
                          href={link(notice, texts)!.href}
                          onClick={() => {
                            if (!notice.read) read([notice.noticeId], reload)
                          }}
                        >
                          {link(notice, texts)!.text}
                        </a>
                      )}
                    </p>
                  </li>
                ))}
              </ul>
              {(page > 0 || more) && (
                <nav className="pager" aria-label={texts.notices.title}>
                  <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
                    {texts.previous}
                  </button>
                  <span aria-live="polite">{texts.page(page + 1)}</span>
                  <button type="button" disabled={!more} onClick={() => setPage(page + 1)}>
                    {texts.next}
                  </button>
                </nav>
              )}
            </>
          )
        }
      </Loaded>
    </Page>
  )
}

function sentence({ kind, details }: Notice, { notices }: Texts): string {
  const product = String(details['productName'] ?? '')
  const motion = notices.motions[String(details['type'])] ?? ''
  switch (kind) {
    case 'vote.opened':
      return notices.opened(product, motion, Number(details['requester']))
    case 'vote.passed':
      return notices.passed(product, motion)
    case 'vote.rejected':
      return notices.rejected(product, motion)
    case 'vote.expired':
      return notices.expired(product, motion)
    case 'member.joined':
      return notices.joined(product)
    default:
      return notices.other(kind)
  }
}

function link({ kind, details }: Notice, { notices }: Texts): { href: string; text: string } | undefined {
  if (kind === 'member.joined' && 'productId' in details)
    return { href: to(`product/${details['productId']}`), text: notices.toProduct }
  return 'voteId' in details ? { href: to(`vote/${details['voteId']}`), text: notices.toVote } : undefined
}
