/**
 * Reads settings from environment variables, all of which must be there.
 * @throws an error that names those that are missing.
 */
export function readEnvironment<const N extends string>(...names: readonly N[]): Readonly<Record<N, string>> {
  const missing = names.filter((name) => !process.env[name])
  if (missing.length > 0) throw new Error(`set ${missing.join(', ')} in the environment`)
  return Object.fromEntries(names.map((name) => [name, process.env[name]])) as Record<N, string>
}
