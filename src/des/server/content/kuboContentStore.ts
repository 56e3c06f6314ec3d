import type { AxiosInstance } from 'axios'
import { loadAxios } from '#platform'
import * as v from 'valibot'
import { assertArguments, clock as clockRule, integer, milliseconds, optional, text } from '../../../core/argument.ts'
import { systemClock, type Clock } from '../../../core/clock.ts'
import { assertArgument, SluiceError } from '../../../core/errors.ts'
import { retry } from '../../../core/retry.ts'
import type { ContentStore } from '../context.ts'
import { cidOf, isCid } from './cid.ts'

/** Options of {@link kuboContentStore}. */
export interface KuboContentStoreOptions {
  /** Where the node's RPC answers: `http://127.0.0.1:5001`. Nobody else should reach it. */
  readonly url: string
  /** Milliseconds for one answer. @default 10000 */
  readonly timeout?: number | undefined
  /** Bytes of a content at most. @default 33554432 */
  readonly maxContent?: number | undefined
  /** An axios instance of yours, for a node behind a proxy with credentials. @default axios */
  readonly http?: AxiosInstance | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** What pins of ours are named: the time behind it, in milliseconds. */
const PIN = 'sluice-des-'
/** Bytes of the list of pins at most: about 100 bytes for each. */
const MAX_PINS = 2 ** 28
/** Pins that are taken off at once. */
const AT_ONCE = 8

const added = v.object({ Hash: v.string() })
const pinned = v.object({ Cid: v.string(), Name: v.optional(v.string(), '') })
const refusal = v.object({ Message: v.string() })

/**
 * Keeps contents in an IPFS node: Kubo 0.26 or later, by its RPC.
 *
 * Each content is a recursive pin whose name holds the time it was put; without the pin it counts as gone, and the node's own
 * garbage collection takes the blocks (run it with `--enable-gc`).
 */
export function kuboContentStore(options: KuboContentStoreOptions): ContentStore {
  assertArguments(options, { url: text(1), timeout: optional(milliseconds), maxContent: optional(integer(1)), clock: optional(clockRule) }, 'options')
  const { url, timeout = 10_000, maxContent = 2 ** 25, http, clock = systemClock } = options
  const base = `${url.replace(/\/+$/, '')}/api/v0`

  /** A call: its bytes, or what the node's refusal says. Every one of them may be repeated. */
  const call = (name: string, query: Readonly<Record<string, string>>, body?: FormData, most = maxContent) =>
    retry(
      async (): Promise<{ bytes: Uint8Array; refused?: undefined } | { refused: string }> => {
        try {
          const client = http ?? (await loadAxios())
          const response = await client.post<ArrayBuffer>(`${base}/${name}?${new URLSearchParams(query).toString()}`, body, {
            responseType: 'arraybuffer',
            validateStatus: (status) => status === 200 || status === 500,
            maxContentLength: most,
            maxBodyLength: Infinity,
            maxRedirects: 0,
            timeout,
          })
          const bytes = new Uint8Array(response.data)
          return response.status === 200 ? { bytes } : { refused: v.parse(refusal, JSON.parse(textOf(bytes))).Message }
        } catch (cause) {
          throw new SluiceError('CONNECTION_FAILED', `the IPFS node can't be asked for ${name}`, {
            details: { call: name },
            cause,
          })
        }
      },
      { attempts: 3, clock },
    )

  const must = async (...args: Parameters<typeof call>): Promise<Uint8Array> => {
    const { bytes, refused } = { bytes: undefined, ...(await call(...args)) }
    if (bytes) return bytes
    throw new SluiceError('STORE_FAILED', `the IPFS node refused ${args[0]}`, { details: { call: args[0] }, cause: refused })
  }

  return {
    async put(bytes) {
      const cid = await cidOf(bytes)
      const form = new FormData()
      form.append('file', new Blob([bytes.slice()]), 'answer')
      const how = { 'cid-version': '0', 'raw-leaves': 'false', chunker: 'size-262144', pin: 'false', quieter: 'true' }
      const answers = linesOf(added, await must('add', how, form))
      if (answers.at(-1)?.Hash !== cid)
        throw new SluiceError('STORE_CORRUPT', `the IPFS node calls ${cid} something else`, { details: { cid } })
      // A pin of the same content gets the new name.
      await must('pin/add', { arg: cid, recursive: 'true', name: `${PIN}${clock.now()}` })
      return cid
    },

    async get(cid) {
      assertArgument(isCid(cid), 'cid', 'a CIDv0')
      // What is pinned is here: a node would look for anything else in all the world.
      const { refused } = { refused: undefined, ...(await call('pin/ls', { arg: cid, type: 'recursive' })) }
      if (refused !== undefined) {
        if (/not pinned/.test(refused)) return undefined
        throw new SluiceError('STORE_FAILED', 'the IPFS node refused pin/ls', { details: { call: 'pin/ls' }, cause: refused })
      }
      const bytes = await must('cat', { arg: cid })
      if ((await cidOf(bytes)) === cid) return bytes
      throw new SluiceError('STORE_CORRUPT', `the content of ${cid} is not what was put`, { details: { cid } })
    },

    async dropBefore(time) {
      const pins = linesOf(
        pinned,
        await must('pin/ls', { type: 'recursive', names: 'true', stream: 'true' }, undefined, MAX_PINS),
      )
      const old = pins.filter(({ Name }) => Name.startsWith(PIN) && Number(Name.slice(PIN.length)) < time)
      let dropped = 0
      for (let at = 0; at < old.length; at += AT_ONCE) {
        const ends = await Promise.all(old.slice(at, at + AT_ONCE).map(({ Cid }) => call('pin/rm', { arg: Cid })))
        // One that is not pinned any more was dropped by somebody else.
        dropped += ends.filter((end) => end.refused === undefined).length
      }
      return dropped
    },
  }
}

/** Reads JSON line by line, as Kubo streams it. */
function linesOf<const S extends v.GenericSchema>(schema: S, bytes: Uint8Array): v.InferOutput<S>[] {
  try {
    return textOf(bytes)
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => v.parse(schema, JSON.parse(line)))
  } catch (cause) {
    throw new SluiceError('STORE_FAILED', 'the IPFS node answered something else', { cause })
  }
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
