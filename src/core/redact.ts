/** An address with a scheme: of a node, a database, a proxy. */
const URLS = /\b[a-z][a-z0-9+.-]*:\/\/[^\s"'`<>]+/gi
/** Shorter parts of a URL (`v3`, `rpc`) are words, not secrets. */
const SHORTEST_SECRET = 6

/**
 * Takes out of a text what would give a URL's secrets away.
 *
 * Every URL becomes `(url)`: providers put their keys into user information, path, query or the host's first label. With
 * `url`, its parts are taken out also where they stand alone, since nodes like to repeat the key they refuse.
 * @param url the address that was asked, if known.
 */
export function redact(text: string, url?: string | undefined): string {
  let clean = text.replace(URLS, '(url)')
  for (const secret of url === undefined ? [] : secretsOf(url)) clean = clean.replaceAll(secret, '(secret)')
  return clean
}

/** The parts of a URL that may be keys, longest first. */
function secretsOf(text: string): string[] {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return []
  }
  const parts = [url.username, url.password, ...url.pathname.split('/'), ...url.searchParams.values(), url.hash.slice(1)]
  const both = parts.flatMap((part) => [part, decoded(part)])
  return [...new Set(both)].filter((part) => part.length >= SHORTEST_SECRET).sort((a, b) => b.length - a.length)
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
