import { useId, useLayoutEffect, useRef, useState } from 'react'
import { usePortal } from '../lib/portal.ts'

/** A day of a chart. */
export interface Bar {
  readonly time: number
  readonly value: number
  /** The value as it is read. */
  readonly text: string
}

const HEIGHT = 180
const [TOP, BOTTOM, LEFT] = [8, 24, 44]
/** Room around a bar, as a part of its day. */
const GAP = 0.28
/** Lines above the ground. */
const LINES = 3

/** Values by day, the oldest first; pointing at a day shows its value, which `total` does otherwise. */
export function BarChart({ title, total, bars }: { title: string; total: string; bars: readonly Bar[] }) {
  const { texts, format } = usePortal()
  const id = useId()
  const frame = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(320)
  const [pointed, setPointed] = useState<number>()
  useLayoutEffect(() => {
    const measure = (): void => setWidth(frame.current!.clientWidth)
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(frame.current!)
    return () => observer.disconnect()
  }, [])

  const top = niceTop(Math.max(0, ...bars.map(({ value }) => value)))
  const step = (width - LEFT) / bars.length
  const y = (value: number): number => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM)
  const labels = new Set(bars.length <= 7 ? bars.keys() : [0, 0.5, 1].map((part) => Math.round(part * (bars.length - 1))))
  const shown = pointed === undefined ? undefined : bars[pointed]

  return (
    <figure className="chart">
      <figcaption>
        <span id={id}>{title}</span>
        <strong>{shown ? shown.text : total}</strong>
        <span className="quiet">{shown ? format.day(shown.time) : texts.usage.sum(bars.length)}</span>
      </figcaption>
      <div ref={frame} className="frame">
        <svg
          width={width}
          height={HEIGHT}
          role="img"
          aria-labelledby={id}
          onPointerLeave={() => setPointed(undefined)}
          onPointerMove={({ nativeEvent }) =>
            setPointed(Math.min(bars.length - 1, Math.max(0, Math.floor((nativeEvent.offsetX - LEFT) / step))))
          }
        >
          {Array.from({ length: LINES + 1 }, (_, line) => (top * line) / LINES).map((value) => (
            <g key={value}>
              <line className="grid" x1={LEFT} x2={width} y1={y(value)} y2={y(value)} />
              <text x={LEFT - 8} y={y(value) + 4} textAnchor="end">
                {format.number(value)}
              </text>
            </g>
          ))}
          {bars.map(({ time, value }, index) => (
            <g key={time} className={index === pointed ? 'pointed' : undefined}>
              {value > 0 && (
                <rect
                  x={LEFT + step * (index + GAP / 2)}
                  y={Math.min(y(value), y(0) - 2)}
                  width={step * (1 - GAP)}
                  height={Math.max(2, y(0) - y(value))}
                  rx={Math.min(2, step / 4)}
                />
              )}
              {labels.has(index) && (
                <text
                  x={
                    bars.length > 7 && index === bars.length - 1
                      ? width
                      : LEFT + step * (bars.length > 7 && index === 0 ? 0 : index + 0.5)
                  }
                  y={HEIGHT - 6}
                  textAnchor={
                    bars.length <= 7 || (index > 0 && index < bars.length - 1) ? 'middle' : index === 0 ? 'start' : 'end'
                  }
                >
                  {format.shortDay(time)}
                </text>
              )}
            </g>
          ))}
        </svg>
      </div>
    </figure>
  )
}

/** The next number no less whose third is round too. */
function niceTop(value: number): number {
  if (value <= 0) return 3
  const power = 10 ** Math.floor(Math.log10(value))
  return [1.5, 3, 4.5, 6, 9, 15].find((nice) => nice * power >= value)! * power
}
