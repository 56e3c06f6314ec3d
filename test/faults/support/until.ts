/** Waits until something holds. @throws when it doesn't within `ms`, naming it. */
export async function until(what: string, holds: () => unknown, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what} did not happen within ${ms} ms`)
    await pause(5)
  }
}

/** Lets time pass. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
