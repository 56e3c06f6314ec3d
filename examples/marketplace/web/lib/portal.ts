/**
 * What every part of the portal may look at: language, who has signed in, categories.
 * @module
 */
import { createContext, useContext } from 'react'
import type { Category, MarketClient } from 'sluice-sdk/des'
import type { Session } from './exchange.ts'
import type { Format } from './format.ts'
import type { Language, Texts } from './texts.ts'

/** The state that pages share. */
export interface Portal {
  readonly language: Language
  readonly texts: Texts
  readonly format: Format
  /** Undefined for who has not signed in. */
  readonly session: Session | undefined
  /** With what the session allows. */
  readonly market: MarketClient
  /** Asked for once. */
  readonly categories: () => Promise<readonly Category[]>
  /** `undefined` signs out. */
  setSession(session: Session | undefined): void
  /** Counts unread notices anew. */
  recount(): void
}

/** Gives the portal's state to what is inside. */
export const PortalContext = createContext<Portal | undefined>(undefined)

/** The portal's state. */
export function usePortal(): Portal {
  return useContext(PortalContext)!
}

/** The session, on pages that are shown to who has signed in alone. */
export function useSession(): Session {
  return usePortal().session!
}
