import { isSluiceError } from 'sluice-sdk'
import type { Texts } from './texts.ts'

/** Says what went wrong so that people understand it. */
export function plainWords(error: unknown, { errors }: Texts): string {
  if (!isSluiceError(error)) return errors.unexpected
  const { code, shortMessage } = error
  if (code === 'NOT_FOUND') return errors.NO_SUCH_PRODUCT
  const known = (errors as Readonly<Record<string, unknown>>)[code]
  if (typeof known === 'string') return known
  // What the exchange says of a field follows the status: "the exchange refused with 400: price must be …".
  return errors.other(shortMessage.replace(/^.*refused(?: with \d+)?: /, ''))
}
