/**
 * A page that shows a payment network as its nodes tell of it.
 * @module
 */
import type { ChannelView, NetworkView, PaymentView } from '../feed.ts'
import { amount, fullAmount } from './amount.ts'
import { createGraph } from './graph.ts'

/** Payments in the list. */
const MAX_LINES = 14

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T

/** An element with text, and with the exact amount to be seen on hovering. */
function tag(name: string, text: string, title?: string): HTMLElement {
  const made = document.createElement(name)
  made.textContent = text
  if (title !== undefined) made.title = title
  return made
}

function row({ ends, phase, capacity, locked }: ChannelView): HTMLElement {
  const promised = BigInt(locked[0]) + BigInt(locked[1])
  const line = document.createElement('tr')
  line.dataset['phase'] = phase
  const between = tag('th', ends.join(' – '))
  between.setAttribute('scope', 'row')
  const open = phase === 'open'
  const figures = capacity.map((wei) => tag('td', open ? amount(wei) : '–', fullAmount(wei)))
  figures.push(tag('td', open && promised > 0n ? amount(promised) : '–', fullAmount(promised)))
  line.append(between, tag('td', phase), ...figures)
  return line
}

function entry({ from, to, amount: wei, fee, ms, paths, error }: PaymentView): HTMLElement {
  const line = document.createElement('li')
  const who = tag('span', `${from} → ${to}`)
  const mediators = [...new Set(paths.flatMap((path) => path.slice(1, -1)))]
  const way = mediators.length > 0 ? `via ${mediators.join(', ')}` : 'direct'
  const how = error === undefined ? way : `failed: ${error.toLowerCase().replaceAll('_', ' ')}`
  line.append(who, tag('b', BigInt(wei) < 10n ** 15n ? '< 0.001' : amount(wei, 3), fullAmount(wei)), tag('small', `${how} · ${ms} ms`, `fee ${fullAmount(fee)}`))
  line.classList.toggle('failed', error !== undefined)
  return line
}

const graph = createGraph(element('graph'))

function show(view: NetworkView): void {
  graph.show(view)
  document.querySelector('#channels tbody')!.replaceChildren(...view.channels.map(row))
  element('done').textContent = String(view.done)
  element('failed').textContent = String(view.failed)
  element('volume').textContent = amount(view.volume, 3)
}

function add(payment: PaymentView): void {
  const log = element('log')
  log.prepend(entry(payment))
  while (log.childElementCount > MAX_LINES) log.lastElementChild!.remove()
}

const events = new EventSource('/events')
const told = <T>(event: string, take: (data: T) => void): void =>
  events.addEventListener(event, ({ data }: MessageEvent<string>) => take(JSON.parse(data) as T))

told<NetworkView>('network', show)
told<readonly PaymentView[]>('payments', (payments) => {
  element('log').replaceChildren()
  payments.forEach(add)
})
told<PaymentView>('payment', (payment) => {
  add(payment)
  graph.fly(payment)
})

const say = (live: boolean, text: string): void => {
  element('link').textContent = text
  element('link').classList.toggle('live', live)
}
events.onopen = () => say(true, 'Live')
events.onerror = () => say(false, 'The network has stopped')
