/**
 * The name of a request as people paste it: 64 hex digits, or the CID that bills show.
 * @returns undefined for what is neither.
 */
export function requestName(text: string): string | undefined {
  const name = text.trim()
  if (/^[0-9a-f]{64}$/i.test(name)) return name.toLowerCase()
  return /^Qm[1-9A-HJ-NP-Za-km-z]{44}$/.test(name) ? name : undefined
}

/** What evidence is found by: a request's name, or the CID of one answer, which a transfer's memo holds. */
export function evidenceName(text: string): string | undefined {
  const name = text.trim()
  return /^baf[a-z2-7]{56}$/.test(name) ? name : requestName(name)
}
