/**
 * Where the portal is: the part of the address behind `#`, such as `#/product/3?version=2`.
 * @module
 */
import { useMemo, useSyncExternalStore } from 'react'

/** A place in the portal. */
export interface Route {
  /** `['product', '3']` */
  readonly path: readonly string[]
  readonly query: URLSearchParams
}

/** The place of now; renders again when it changes. */
export function useRoute(): Route {
  const hash = useSyncExternalStore(listen, () => location.hash)
  return useMemo(() => {
    const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
    return { path: path.split('/').filter((part) => part !== ''), query: new URLSearchParams(query) }
  }, [hash])
}

/** The address of a place, for links; parameters that are empty are left out. */
export function to(path: string, query: Readonly<Record<string, string | number>> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== '')
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
  return `#/${path}${text === '' ? '' : `?${text}`}`
}

/** Goes to a place. */
export function go(path: string, query?: Readonly<Record<string, string | number>>): void {
  location.hash = to(path, query)
}

function listen(changed: () => void): () => void {
  addEventListener('hashchange', changed)
  return () => removeEventListener('hashchange', changed)
}
