/**
 * The drawing: nodes on a circle, a bar for each channel, and payments that move along them.
 * @module
 */
import type { ChannelView, NetworkView, PaymentView } from '../feed.ts'
import { amount } from './amount.ts'

/** The drawing. */
export interface Graph {
  show(view: NetworkView): void
  /** Moves a payment along its ways. */
  fly(payment: PaymentView): void
}

interface Point {
  readonly x: number
  readonly y: number
}

/** Milliseconds for which a payment is on its way along one channel, as it is drawn. */
const HOP = 550
/** Payments that are drawn at once; the others are in the list alone. */
const MAX_FLYING = 32
/** Pixels from which on there is room for large nodes and long figures. */
const WIDE = 560

const still = matchMedia('(prefers-reduced-motion: reduce)')

/** Makes an element of the drawing. */
function draw<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | number>>,
  ...children: readonly (Element | string)[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value))
  made.append(...children)
  return made
}

/** Draws into an element, as wide as that is. */
export function createGraph(into: HTMLElement): Graph {
  const hatch = draw(
    'pattern',
    { id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    draw('rect', { width: 3, height: 6 }),
  )
  const [links, dots, nodes] = [draw('g', {}), draw('g', {}), draw('g', {})]
  const svg = draw('svg', { role: 'img', 'aria-label': 'No node is there yet' }, draw('defs', {}, hatch), links, dots, nodes)
  into.append(svg)
  const drawn = new Map<string, ReturnType<typeof createLink>>()
  let view: NetworkView | undefined
  let places = new Map<string, Point>()
  let centre: Point = { x: 0, y: 0 }
  let flying = 0

  /** Where everything is: the nodes on a circle, the first on top. */
  const arrange = (): void => {
    if (!view) return
    const width = into.clientWidth
    const wide = width >= WIDE
    const size = wide ? 40 : 29
    const radius = Math.min((width - 2 * size) / 2 - 8, 235)
    centre = { x: width / 2, y: radius + size + 4 }
    const angle = (i: number): number => (2 * Math.PI * i) / view!.nodes.length - Math.PI / 2
    places = new Map(
      view.nodes.map(({ name }, i) => [
        name,
        { x: centre.x + radius * Math.cos(angle(i)), y: centre.y + radius * Math.sin(angle(i)) },
      ]),
    )
    const lowest = Math.max(centre.y, ...[...places.values()].map(({ y }) => y))
    svg.setAttribute('viewBox', `0 0 ${width} ${lowest + size + 4}`)

    nodes.replaceChildren(
      ...view.nodes.map(({ name, online, balance }, i) => {
        const { x, y } = places.get(name)!
        return draw(
          'g',
          { class: `node${online ? '' : ' off'}`, transform: `translate(${x} ${y})`, 'data-node': i % 6 },
          draw('circle', { r: size }),
          draw('text', { class: 'name', y: wide ? -6 : -5 }, name),
          draw('text', { y: wide ? 13 : 11 }, online ? amount(balance, wide ? 3 : 2) : 'off'),
        )
      }),
    )

    // Of the channels of a pair, the newest is drawn.
    const newest = new Map(view.channels.map((channel) => [channel.ends.join(), channel]))
    for (const [pair, link] of drawn) {
      if (newest.has(pair)) continue
      link.element.remove()
      drawn.delete(pair)
    }
    const order = new Map(view.nodes.map(({ name }, i) => [name, i % 6]))
    for (const [pair, channel] of newest) {
      const [from, to] = channel.ends.map((end) => places.get(end))
      if (!from || !to) continue
      const link = drawn.get(pair) ?? createLink(channel.ends.map((end) => order.get(end)!))
      if (!drawn.has(pair)) links.append(link.element)
      drawn.set(pair, link)
      link.show(channel, { from, to, centre, size, wide })
    }
    svg.setAttribute('aria-label', inWords(view))
  }
  new ResizeObserver(arrange).observe(into)

  return {
    show(next) {
      view = next
      arrange()
    },
    fly({ paths, amount: wei }) {
      for (const path of paths) {
        const points = path.map((name) => places.get(name))
        if (document.hidden || flying >= MAX_FLYING || points.includes(undefined)) continue
        if (still.matches) {
          for (const [i, name] of path.slice(1).entries()) drawn.get([path[i]!, name].sort().join())?.flash()
          continue
        }
        flying++
        // Towards the inside of the circle, where no other figures are.
        const height = points.reduce((sum, point) => sum + point!.y, 0) / points.length
        const aside = height < centre.y ? 17 : -15
        const dot = draw('g', { class: 'payment' }, draw('circle', { r: 7 }), draw('text', { y: aside }, amount(wei, 3)))
        dots.append(dot)
        const frames = points.map((point) => ({ transform: `translate(${point!.x}px, ${point!.y}px)` }))
        const flight = dot.animate(frames, { duration: HOP * (points.length - 1) })
        flight.onfinish = flight.oncancel = () => {
          dot.remove()
          flying--
        }
      }
    },
  }
}

/** Where a channel is drawn. */
interface Place {
  readonly from: Point
  readonly to: Point
  readonly centre: Point
  readonly size: number
  readonly wide: boolean
}

/** A channel: a bar divided into what either end can send and has locked, with the figures beside it. */
function createLink(ends: readonly number[]) {
  // From the one end to the other: can send, locked, locked by the other, can be sent by the other.
  const parts = [ends[0]!, ends[0]!, ends[1]!, ends[1]!].map((end, i) =>
    draw('g', { class: i === 1 || i === 2 ? 'locked' : 'free', 'data-node': end }, draw('rect', {}), draw('rect', { class: 'hatched' })),
  )
  const bar = draw('g', {}, ...parts)
  const figures = [draw('text', { class: 'figure' }), draw('text', { class: 'figure' })] as const
  const state = draw('text', { class: 'state' })
  const element = draw('g', { class: 'channel' }, bar, ...figures, state)

  return {
    element,
    show({ phase, capacity, locked, id }: ChannelView, { from, to, centre, size, wide }: Place): void {
      const [dx, dy] = [to.x - from.x, to.y - from.y]
      const whole = Math.hypot(dx, dy)
      const gap = size + 6
      const length = Math.max(whole - 2 * gap, 0)
      const height = wide ? 12 : 9
      const side = outwards({ x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 }, centre, { x: -dy / whole, y: dx / whole })
      const at = (along: number, aside: number): Point => ({
        x: from.x + (dx * along) / whole + side.x * aside,
        y: from.y + (dy * along) / whole + side.y * aside,
      })
      element.dataset['phase'] = phase
      element.dataset['channel'] = id
      bar.setAttribute('transform', `translate(${from.x} ${from.y}) rotate(${(Math.atan2(dy, dx) * 180) / Math.PI})`)
      const amounts = [capacity[0], locked[0], locked[1], capacity[1]].map(Number)
      const sum = amounts.reduce((a, b) => a + b, 0)
      let start = gap
      for (const [i, part] of parts.entries()) {
        const share = phase !== 'open' ? (i === 0 ? 1 : 0) : sum === 0 ? 0 : amounts[i]! / sum
        for (const rect of part.querySelectorAll('rect')) {
          const thick = phase === 'open' ? height : 2
          Object.assign(rect.style, { x: `${start}px`, y: `${-thick / 2}px`, width: `${share * length}px`, height: `${thick}px` })
        }
        start += share * length
      }
      // Beside a steep line a text begins or ends, so that it stays off the line.
      const anchor = Math.abs(side.x) < 0.3 ? 'middle' : side.x > 0 ? 'start' : 'end'
      const aside = height / 2 + (anchor === 'middle' ? 13 : 8)
      for (const [i, text] of figures.entries()) {
        const { x, y } = at(i === 0 ? gap + length * 0.16 : whole - gap - length * 0.16, aside)
        text.setAttribute('x', String(x))
        text.setAttribute('y', String(y))
        text.style.textAnchor = anchor
        text.textContent = phase === 'open' ? amount(capacity[i]!, wide ? 3 : 2) : ''
      }
      const middle = at(whole / 2, 0)
      state.setAttribute('x', String(middle.x))
      state.setAttribute('y', String(middle.y))
      const promised = BigInt(locked[0]) + BigInt(locked[1])
      state.textContent = phase !== 'open' ? phase : ''
      element.classList.toggle('holding', phase === 'open' && promised > 0n)
    },
    /** Shows, without motion, that something was paid here. */
    flash(): void {
      element.classList.add('used')
      setTimeout(() => element.classList.remove('used'), HOP)
    },
  }
}

/** Of the two sides of a line, the one away from the centre. */
function outwards(middle: Point, centre: Point, normal: Point): Point {
  const away = (middle.x - centre.x) * normal.x + (middle.y - centre.y) * normal.y
  return away < 0 ? { x: -normal.x, y: -normal.y } : normal
}

function inWords({ nodes, channels }: NetworkView): string {
  const count = (phase: ChannelView['phase']): number => channels.filter((channel) => channel.phase === phase).length
  const there = nodes.filter(({ online }) => online).map(({ name }) => name)
  const counts = `${count('open')} open channels, ${count('closed')} closed, ${count('settled')} settled`
  return `Nodes: ${there.join(', ')}. ${counts}; the figures are in the table.`
}
