/**
 * What the examples print: headings, labelled lines, a progress bar, a table.
 * @module
 */
import type { WriteStream } from 'node:tty'
import type { Progress } from 'sluice-sdk/buyer'
import { duration, roughEth, size, speed } from './format.ts'

/** A place to print on. Colours and a moving bar on a terminal, plain lines elsewhere. */
export interface Terminal {
  heading(text: string): void
  /** A line with a label. */
  line(label: string, text?: string): void
  /** Something that was checked and holds. */
  check(text: string): void
  fail(text: string): void
  /** Begins a progress bar; hand it to the `progress` event of a purchase. */
  bar(): (progress: Progress) => void
  /** Rows under a header; all columns but the first are set to the right. The last row is a sum. */
  table(header: readonly string[], rows: readonly (readonly string[])[]): void
}

/** Columns of a bar, and of all that stands beside it. */
const BAR = 28
const BESIDE = 74

/** Opens a terminal on a stream of the process. */
export function openTerminal(stream: WriteStream = process.stdout): Terminal {
  const plain = !stream.isTTY || process.env['NO_COLOR'] !== undefined
  const style = (code: number) => (text: string): string => (plain ? text : `\u001b[${code}m${text}\u001b[0m`)
  const [bold, dim, red, green, cyan] = [1, 2, 31, 32, 36].map(style) as [Style, Style, Style, Style, Style]
  const columns = stream.columns ?? 0
  const moves = stream.isTTY && columns >= BESIDE + 4
  const width = moves ? Math.min(BAR, columns - BESIDE) : BAR
  /** Whether the last line is a bar, which may be drawn over. */
  let live = false
  const print = (text: string): void => {
    live = false
    stream.write(`${text}\n`)
  }

  const drawn = ({ bytes, total, paid, rate, remaining }: Progress): string => {
    const filled = Math.floor((width * bytes) / total)
    const bar = cyan('█'.repeat(filled)) + dim('░'.repeat(width - filled))
    const percent = `${Math.floor((100 * bytes) / total)} %`.padStart(5)
    const rest = bytes === total ? '' : `  ${duration(remaining)} left`
    return `            ${bar} ${percent}  ${size(bytes).padStart(9)}  paid ${roughEth(paid)} ETH  ${speed(rate)}${rest}`
  }

  /** Moves over its own line; where lines stay, one for each quarter is enough. */
  const bar = (): ((progress: Progress) => void) => {
    let quarter = 0
    return (progress) => {
      if (moves) {
        stream.write(`${live ? '\u001b[1A\u001b[2K' : ''}${drawn(progress)}\n`)
        live = true
        return
      }
      const now = Math.floor((4 * progress.bytes) / progress.total)
      if (now > quarter) print(drawn(progress))
      quarter = now
    }
  }

  return {
    heading: (text) => print(`\n${bold(text)}`),
    line: (label, text = '') => print(label === '' && text === '' ? '' : `  ${dim(label.padEnd(9))} ${text}`),
    check: (text) => print(`  ${green('✓')} ${text}`),
    fail: (text) => print(`  ${red('✗')} ${text}`),
    bar,
    table: (header, rows) => {
      const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
      const set = (row: readonly string[]): string =>
        `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}`
      const rule = dim(`  ${widths.map((width) => '─'.repeat(width)).join('──')}`)
      print(dim(set(header)))
      print(rule)
      for (const row of rows.slice(0, -1)) print(set(row))
      print(rule)
      print(bold(set(rows.at(-1)!)))
    },
  }
}

type Style = (text: string) => string
