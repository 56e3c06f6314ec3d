import { grapheneKey, seedSecret, toWif, type AccountId, type GrapheneKey } from 'sluice-sdk/des'

/** A merchant of the example; its key is no secret. */
export interface Person {
  readonly merchantId: number
  readonly account: AccountId
  readonly key: GrapheneKey
  /** The key as one types it in. */
  readonly wif: string
  readonly name: string
  readonly representative: string
  readonly website: string
}

/** A merchant whose key follows from its name, so that it is the same whenever the example runs. */
export async function createPerson(
  about: Pick<Person, 'merchantId' | 'name' | 'representative' | 'website'>,
  openAccount: (publicKey: string) => Promise<AccountId>,
): Promise<Person> {
  const secret = seedSecret(`sluice marketplace example ${about.merchantId}`)
  const key = grapheneKey(secret)
  return { ...about, key, wif: toWif(secret), account: await openAccount(key.publicKey) }
}
