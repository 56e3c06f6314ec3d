/**
 * What a bench gives and how it is printed.
 * @module
 */
import { cpus, totalmem } from 'node:os'

/** One figure, beside what it is held against, all measured in one run and in one unit. */
export interface Row {
  readonly bench: string
  readonly case: string
  readonly value: number
  /** More is better, or the unit ends in `/op`. */
  readonly unit: string
  readonly baseline: Figure
  /** What the parts make possible, where that can be computed. */
  readonly limit: Figure | null
}

export interface Figure {
  readonly name: string
  readonly value: number
}

/** A bench: measures the cases that are wanted. */
export type Bench = (options: { wants(kase: string): boolean; say(line: string): void }) => Promise<readonly Row[]>

/** The machine, as figures should be quoted with it. */
export function machine(): string {
  const [cpu] = cpus()
  return `${cpus().length} x ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, ${
    process.platform
  }`
}

/** The middle of some figures. */
export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b)
  return sorted.length % 2 === 1
    ? sorted[(sorted.length - 1) / 2]!
    : (sorted[sorted.length / 2 - 1]! + sorted[sorted.length / 2]!) / 2
}

/** The figure that so many percent of them don't exceed. */
export function percentile(figures: readonly number[], percent: number): number {
  const sorted = [...figures].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * percent) / 100) - 1)]!
}

/** Rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const number = (value: number): string => value.toLocaleString('en-US', { maximumSignificantDigits: 4 })
  const lines = rows.map((row) => [
    row.case,
    `${number(row.value)} ${row.unit}`,
    `${row.baseline.name}: ${number(row.baseline.value)} (x ${number(row.value / row.baseline.value)})`,
    row.limit ? `${row.limit.name}: ${number(row.limit.value)} (x ${number(row.value / row.limit.value)})` : '',
  ])
  const head = ['case', 'figure', 'baseline', 'limit']
  const widths = head.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i]!.length)))
  const format = (cells: readonly string[]): string => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [format(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...lines.map(format)].join('\n')
}
