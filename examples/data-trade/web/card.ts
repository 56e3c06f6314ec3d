import type { Progress } from 'sluice-sdk/buyer'
import { chunkCount, type Item } from 'sluice-sdk/protocol'
import { count, duration, eth, roughEth, size, speed } from '../../lib/format.ts'

/** Where the purchase on a card is. */
export type CardState = 'offer' | 'buying' | 'interrupted' | 'closing' | 'done'

/** One item of the menu on the page. */
export interface Card {
  readonly element: HTMLElement
  state: CardState
  onBuy: () => void
  onStop: () => void
  onTakeBack: () => void
  sample(text: string): void
  progress(progress: Pick<Progress, 'bytes' | 'total' | 'paid'> & Partial<Progress>): void
  status(text: string): void
  /** Says what went wrong; nothing clears it. */
  problem(text?: string): void
  download(file: Blob): void
}

/** Puts an item on the page. What the seller wrote goes in as text and never as markup. */
export function createCard(item: Item): Card {
  const template = document.querySelector<HTMLTemplateElement>('#item')!
  const element = template.content.firstElementChild!.cloneNode(true) as HTMLElement
  const field = <T extends HTMLElement>(name: string): T => element.querySelector<T>(`[data-field="${name}"]`)!
  const write = (name: string, text: string): void => void (field(name).textContent = text)
  const bar = element.querySelector('[role="progressbar"]')!

  write('name', item.id)
  write('info', item.info)
  write('price', `${eth(item.price)} ETH`)
  write('size', size(item.size))
  write('chunks', `${count(chunkCount(item))} of ${size(item.granularity)}`)

  const card: Card = {
    element,
    onBuy: () => {},
    onStop: () => {},
    onTakeBack: () => {},
    get state() {
      return element.dataset['state'] as CardState
    },
    set state(state) {
      element.dataset['state'] = state
      write('buy', state === 'interrupted' ? 'Continue' : `Buy for ${eth(item.price)} ETH`)
      field('sample').hidden = state !== 'offer' || field('sample').querySelector('pre')!.textContent === ''
    },
    sample: (text) => {
      field('sample').querySelector('pre')!.textContent = text
      card.state = card.state
    },
    progress: ({ bytes, total, paid, rate, remaining }) => {
      const percent = Math.floor((100 * bytes) / total)
      field('progress').hidden = false
      bar.setAttribute('aria-valuenow', String(percent))
      bar.querySelector('span')!.style.width = `${percent}%`
      write('bytes', size(bytes))
      write('paid', `${roughEth(paid)} ETH`)
      write('rate', rate === undefined ? '' : speed(rate))
      write('remaining', remaining === undefined || bytes === total ? '' : duration(remaining))
    },
    status: (text) => write('status', text),
    problem: (text) => {
      write('problem', text ?? '')
      field('problem').hidden = text === undefined
    },
    download: (file) => {
      const link = field<HTMLAnchorElement>('download')
      link.href = URL.createObjectURL(file)
      link.download = item.id
    },
  }
  field('buy').onclick = () => card.onBuy()
  field('stop').onclick = () => card.onStop()
  field('take-back').onclick = () => card.onTakeBack()
  card.state = 'offer'
  return card
}
