/**
 * What notices say to people, in Chinese and English.
 * @module
 */
import type { Notice } from '../context.ts'

/** A notice in words. */
export interface NoticeText {
  readonly subject: string
  /** Plain text. */
  readonly text: string
}

type Details = Notice['details']
/** Chinese, then English. */
type Pair = readonly [string, string]

const motions: Readonly<Record<string, Pair>> = {
  APPLY: ['申请加入', 'application to join'],
  ADD_MEMBER: ['邀请加入', 'invitation of members'],
  UPDATE_PRODUCT: ['更新产品', 'change of the product'],
}

const sentences: Readonly<Record<string, (motion: Pair, details: Details) => Pair>> = {
  'vote.opened': ([zh, en], { productName, requester }) => [
    `产品“${productName}”有新的投票：${zh}，由商户 ${requester} 发起，请投票。`,
    `A vote about product "${productName}" is open: ${en}, by merchant ${requester}. Please vote.`,
  ],
  'vote.passed': ([zh, en], { productName }) => [
    `产品“${productName}”的投票已通过：${zh}。`,
    `The vote about product "${productName}" has passed: ${en}.`,
  ],
  'vote.rejected': ([zh, en], { productName }) => [
    `产品“${productName}”的投票已被拒绝：${zh}。`,
    `The vote about product "${productName}" was rejected: ${en}.`,
  ],
  'vote.expired': ([zh, en], { productName }) => [
    `产品“${productName}”的投票已过期：${zh}。`,
    `The vote about product "${productName}" ended without a decision: ${en}.`,
  ],
  'member.joined': (_, { productName }) => [
    `您已成为产品“${productName}”的数据源。`,
    `You are now a data source of product "${productName}".`,
  ],
}

/** Words of the details beside the sentence. */
const labels: Readonly<Record<string, Pair>> = {
  productId: ['产品编号', 'Product'],
  voteId: ['投票编号', 'Vote'],
  expireAt: ['截止时间', 'Open until'],
}

/** Puts a notice in words; one of a kind without words is named, with its details. */
export function textOf({ kind, details }: Pick<Notice, 'kind' | 'details'>): NoticeText {
  const motion = motions[String(details.type)] ?? ['', '']
  const sentence = sentences[kind]?.(motion, details)
  const shown = Object.entries(details).filter(([name]) => !sentence || name in labels)
  const lines = (language: 0 | 1): string[] =>
    shown.map(([name, value]) => `${labels[name]?.[language] ?? name}: ${valueOf(name, value)}`)
  const [zh, en] = sentence ?? [kind, kind]
  const subject = sentence ? `[DES] ${zh} / ${en}` : `[DES] ${kind}`
  return { subject: oneLine(subject), text: [zh, ...lines(0), '', en, ...lines(1), ''].join('\n') }
}

function valueOf(name: string, value: string | number): string {
  return name.endsWith('At') && typeof value === 'number' ? new Date(value).toISOString() : String(value)
}

/** A header's value ends with its line (RFC 5322, 2.2). */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, 500)
}
