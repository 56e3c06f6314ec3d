import { useEffect, useRef, type ReactNode } from 'react'
import { usePortal } from '../lib/portal.ts'

/** Whether a page was shown before: the first one leaves the focus to the browser. */
let shown = false

/** A page: names the document, and takes the focus to its heading when one comes to it by a link. */
export function Page({
  title,
  intro,
  actions,
  children,
}: {
  title: string
  intro?: ReactNode
  actions?: ReactNode
  children: ReactNode
}) {
  const { texts } = usePortal()
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${title} · ${texts.brand}`
  }, [title, texts])
  useEffect(() => {
    if (shown) heading.current?.focus()
    shown = true
    scrollTo(0, 0)
  }, [])
  return (
    <>
      <div className="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {intro !== undefined && <p className="intro">{intro}</p>}
        </div>
        {actions !== undefined && <div className="actions">{actions}</div>}
      </div>
      {children}
    </>
  )
}
