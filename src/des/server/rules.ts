import type { ExchangeRules } from './context.ts'

/** The seed's rules. */
export const defaultRules: ExchangeRules = {
  offlineAfter: 50_000,
  clockSkew: 0,
  voteLasts: 2 * 86_400_000,
  refusals: 5,
  lockout: 3 * 86_400_000,
  answerTimeout: 8_000,
  privacyTimeout: 120_000,
  keepAnswers: 30 * 86_400_000,
  billingOffset: 480,
  decimals: 5,
  allowPrivateAddresses: false,
}
