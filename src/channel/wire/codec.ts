/**
 * Binary layouts: named fields one behind the other, big endian, nothing between them.
 * @module
 */
import { fromHex, toHex, utf8, type Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'

/** A kind of field: how it is written and read, and what it is in the program. */
export interface Field<T> {
  write(out: Writer, value: T): void
  read(from: Reader, name: string): T
}

/** A layout: fields in the order in which they travel. */
export type Layout = Readonly<Record<string, Field<unknown>>>

/** What a layout holds. */
export type ValuesOf<L extends Layout> = { readonly [K in keyof L]: L[K] extends Field<infer T> ? T : never }

// Classes, unlike elsewhere: a reader is made for each packet, and methods on a prototype cost nothing to make.

/** Writes bytes one behind the other. */
// eslint-disable-next-line no-restricted-syntax
export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 512) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** What was written, in a buffer of its own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** Begins again. */
  reset(): void {
    this.#length = 0
  }

  #grow(size: number): number {
    const at = this.#length
    this.#length += size
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length)
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }

  u8(value: number): void {
    assertFits(value, 2 ** 8)
    const at = this.#grow(1)
    this.#view.setUint8(at, value)
  }
  u16(value: number): void {
    assertFits(value, 2 ** 16)
    const at = this.#grow(2)
    this.#view.setUint16(at, value)
  }
  u32(value: number): void {
    assertFits(value, 2 ** 32)
    const at = this.#grow(4)
    this.#view.setUint32(at, value)
  }
  u64(value: number): void {
    assertFits(value, 2 ** 53)
    const at = this.#grow(8)
    this.#view.setUint32(at, Math.floor(value / 2 ** 32))
    this.#view.setUint32(at + 4, value >>> 0)
  }
  u128(value: bigint): void {
    assertBits(value, 128n)
    const at = this.#grow(16)
    this.#view.setBigUint64(at, value >> 64n)
    this.#view.setBigUint64(at + 8, value)
  }
  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length)
    this.#bytes.set(bytes, at)
  }
}

/** Reads bytes one behind the other; what is missing or left over is `BAD_MESSAGE`. */
// eslint-disable-next-line no-restricted-syntax
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  #take(size: number, name: string): number {
    const at = this.#at
    if (at + size > this.#bytes.length) throw badField(name, `needs ${size} bytes, ${this.#bytes.length - at} are left`)
    this.#at += size
    return at
  }

  u8(name: string): number {
    return this.#view.getUint8(this.#take(1, name))
  }
  u16(name: string): number {
    return this.#view.getUint16(this.#take(2, name))
  }
  u32(name: string): number {
    return this.#view.getUint32(this.#take(4, name))
  }
  u64(name: string): number {
    const at = this.#take(8, name)
    const high = this.#view.getUint32(at)
    if (high >= 2 ** 21) throw badField(name, 'must be below 2^53')
    return high * 2 ** 32 + this.#view.getUint32(at + 4)
  }
  u128(name: string): bigint {
    const at = this.#take(16, name)
    return (this.#view.getBigUint64(at) << 64n) | this.#view.getBigUint64(at + 8)
  }
  /** Bytes of their own. */
  raw(size: number, name: string): Uint8Array {
    const at = this.#take(size, name)
    // A Buffer's own slice would share its memory.
    return Uint8Array.prototype.slice.call(this.#bytes, at, at + size)
  }
  /** @throws `BAD_MESSAGE` if something is left. */
  end(): void {
    const left = this.#bytes.length - this.#at
    if (left > 0) throw badField('message', `has ${left} bytes too many`)
  }
}

/** Throws unless a number fits: a view would write what is left of it. */
function assertFits(value: number, limit: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value < limit) return
  throw new SluiceError('BAD_ARGUMENT', `a whole number from 0 and below ${limit} is expected, not ${String(value)}`)
}

function assertBits(value: bigint, bits: bigint): void {
  if (typeof value === 'bigint' && value >= 0n && value >> bits === 0n) return
  throw new SluiceError('BAD_ARGUMENT', `a bigint from 0n and below 2^${bits} is expected, not ${String(value)}`)
}

/** Throws unless a list or bytes are as short as whoever reads them asks for. */
function assertSize(size: number, limit: number): void {
  if (size > limit) throw new SluiceError('BAD_ARGUMENT', `no more than ${limit} are expected, not ${size}`)
}

/** The error of a field that can't be what it is. */
export function badField(name: string, flaw: string): SluiceError {
  return new SluiceError('BAD_MESSAGE', `${name} ${flaw}`, { details: { field: name } })
}

/** A number of 8 bits. */
export const u8: Field<number> = { write: (out, value) => out.u8(value), read: (from, name) => from.u8(name) }
/** A number of 16 bits. */
export const u16: Field<number> = { write: (out, value) => out.u16(value), read: (from, name) => from.u16(name) }
/** A number of 32 bits. */
export const u32: Field<number> = { write: (out, value) => out.u32(value), read: (from, name) => from.u32(name) }
/** A number of 64 bits that stays below 2^53. */
export const u64: Field<number> = { write: (out, value) => out.u64(value), read: (from, name) => from.u64(name) }
/** An amount. */
export const u128: Field<bigint> = { write: (out, value) => out.u128(value), read: (from, name) => from.u128(name) }
/** A number of 256 bits. */
export const u256: Field<bigint> = {
  write: (out, value) => {
    assertBits(value, 256n)
    out.u128(value >> 128n)
    out.u128(value & (2n ** 128n - 1n))
  },
  read: (from, name) => (from.u128(name) << 128n) | from.u128(name),
}
/** A byte that is 0 or 1. */
export const flag: Field<boolean> = {
  write: (out, value) => out.u8(value ? 1 : 0),
  read: (from, name) => {
    const value = from.u8(name)
    if (value > 1) throw badField(name, 'must be 0 or 1')
    return value === 1
  },
}

/** Bytes of a fixed size. */
export const raw = (size: number): Field<Uint8Array> => ({
  write: (out, value) => {
    if (value.length !== size) throw new SluiceError('BAD_ARGUMENT', `${size} bytes are expected, not ${value.length}`)
    out.raw(value)
  },
  read: (from, name) => from.raw(size, name),
})

/** 32 bytes, as hex in the program: ids and hashes that are looked up. */
export const hex32: Field<Hex> = {
  write: (out, value) => out.raw(fromHex(value, 32)),
  read: (from, name) => toHex(from.raw(32, name)),
}
/** An address, in lower case in the program. */
export const address: Field<Hex> = {
  write: (out, value) => out.raw(fromHex(value, 20)),
  read: (from, name) => toHex(from.raw(20, name)),
}

/** Up to `limit` bytes behind their number. */
export const bytes = (limit: number): Field<Uint8Array> => ({
  write: (out, value) => {
    assertSize(value.length, limit)
    out.u16(value.length)
    out.raw(value)
  },
  read: (from, name) => {
    const size = from.u16(name)
    if (size > limit) throw badField(name, `is longer than ${limit} bytes`)
    return from.raw(size, name)
  },
})

/** A character that is written as two. */
const PAIR = /[\ud800-\udbff][\udc00-\udfff]$/

/** Up to `limit` bytes of UTF-8 behind their number. */
export const text = (limit: number): Field<string> => {
  const field = bytes(limit)
  return {
    write: (out, value) => {
      let written = utf8(value)
      // By whole characters: half of a pair would be written as another one.
      while (written.length > limit) written = utf8((value = value.slice(0, PAIR.test(value) ? -2 : -1)))
      field.write(out, written)
    },
    read: (from, name) => {
      try {
        return new TextDecoder('utf-8', { fatal: true }).decode(field.read(from, name))
      } catch {
        throw badField(name, 'is not UTF-8')
      }
    },
  }
}

/** Up to `limit` groups of fields behind their number. */
export const list = <const L extends Layout>(layout: L, limit: number): Field<readonly ValuesOf<L>[]> => ({
  write: (out, values) => {
    assertSize(values.length, limit)
    out.u16(values.length)
    for (const value of values) write(layout, out, value)
  },
  read: (from, name) => {
    const size = from.u16(name)
    if (size > limit) throw badField(name, `has more than ${limit} entries`)
    return Array.from({ length: size }, () => read(layout, from))
  },
})

/** A group of fields, or nothing. */
export const optional = <const L extends Layout>(layout: L): Field<ValuesOf<L> | undefined> => ({
  write: (out, value) => {
    out.u8(value ? 1 : 0)
    if (value) write(layout, out, value)
  },
  read: (from, name) => (flag.read(from, name) ? read(layout, from) : undefined),
})

/** Writes the fields of a layout. */
export function write<L extends Layout>(layout: L, out: Writer, values: ValuesOf<L>): void {
  for (const name in layout) layout[name]!.write(out, values[name])
}

/** Reads the fields of a layout. */
export function read<L extends Layout>(layout: L, from: Reader): ValuesOf<L> {
  const values: Record<string, unknown> = {}
  for (const name in layout) values[name] = layout[name]!.read(from, name)
  return values as ValuesOf<L>
}

/** The bytes of a layout. */
export function encode<L extends Layout>(layout: L, values: ValuesOf<L>): Uint8Array {
  return written((out) => write(layout, out, values))
}

/** One for all: a new one would be zeroed first, for each message. */
const shared = /* @__PURE__ */ new Writer(4096)
let taken = false

/** The bytes that `run` writes. */
export function written(run: (out: Writer) => void): Uint8Array {
  if (taken) {
    // Called from within a `run`.
    const own = new Writer()
    run(own)
    return own.finish()
  }
  taken = true
  try {
    shared.reset()
    run(shared)
    return shared.finish()
  } finally {
    taken = false
  }
}

/** Reads bytes that are a layout and nothing else. @throws `BAD_MESSAGE` naming the field. */
export function decode<L extends Layout>(layout: L, bytes: Uint8Array): ValuesOf<L> {
  const from = new Reader(bytes)
  const values = read(layout, from)
  from.end()
  return values
}
