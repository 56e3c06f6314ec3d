import { useEffect, useState } from 'react'
import { durationText } from '../lib/format.ts'
import { usePortal } from '../lib/portal.ts'

/** The time that is left until `until`, by the second. */
export function Countdown({ until }: { until: number }) {
  const { texts } = usePortal()
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  return (
    <time className="countdown" role="timer" dateTime={new Date(until).toISOString()}>
      {durationText(until - now, texts.duration)}
    </time>
  )
}
