/**
 * EIP-712 hashing of flat structs, prepared once and cheap per message.
 * @module
 */
import { fromHex, utf8 } from '../bytes.ts'
import { SluiceError } from '../errors.ts'
import { engine } from './engine.ts'

/** The domain of typed data: only the fields that are present are part of it. */
export interface TypedDataDomain {
  readonly name?: string | undefined
  readonly version?: string | undefined
  readonly chainId?: bigint | number | undefined
  readonly verifyingContract?: string | undefined
  /** 32 bytes as hex. */
  readonly salt?: string | undefined
}

/** One member of a struct. */
export interface TypedDataField {
  readonly name: string
  /** `address`, `bool`, `string`, `bytes`, `bytes1` to `bytes32`, `uint8` to `uint256`. */
  readonly type: string
}

/**
 * The value of a member: an address or bytes as hex (bytes also as bytes), numbers as bigint or safe integer or their
 * decimal or hex text.
 */
export type TypedDataValue = string | number | bigint | boolean | Uint8Array

/** Writes a value into its 32 bytes of the encoded struct. */
type Encode = (value: TypedDataValue | undefined, out: Uint8Array) => void

const DOMAIN_FIELDS: readonly TypedDataField[] = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
  { name: 'salt', type: 'bytes32' },
]

/**
 * Prepares the digest of one struct type under one domain.
 *
 * The domain and the type are hashed here, so a call costs two keccaks, and one more for each `string` or `bytes`. An
 * address counts by its digits; its checksum is not looked at.
 * @returns the 32-byte digest of a message; it throws `BAD_ARGUMENT` naming a member that is missing or doesn't fit.
 * @throws `BAD_ARGUMENT` for a type that isn't atomic.
 *
 * Source: EIP-712, `encodeData` and `hashStruct`.
 */
export function typedDataHasher(
  domain: TypedDataDomain,
  primaryType: string,
  fields: readonly TypedDataField[],
): (values: Readonly<Record<string, TypedDataValue>>) => Uint8Array {
  const separator = domainSeparator(domain)
  const hashStruct = structHasher(primaryType, fields)
  return (values) => {
    const message = new Uint8Array(66)
    message[0] = 0x19
    message[1] = 0x01
    message.set(separator, 2)
    message.set(hashStruct(values), 34)
    return engine().keccak256(message)
  }
}

/** The hash of a domain. Source: EIP-712, `domainSeparator`. */
export function domainSeparator(domain: TypedDataDomain): Uint8Array {
  const fields = DOMAIN_FIELDS.filter(({ name }) => domain[name as keyof TypedDataDomain] !== undefined)
  return structHasher('EIP712Domain', fields)(domain as Record<string, TypedDataValue>)
}

function structHasher(
  type: string,
  fields: readonly TypedDataField[],
): (values: Readonly<Record<string, TypedDataValue>>) => Uint8Array {
  const typeHash = engine().keccak256(utf8(`${type}(${fields.map((field) => `${field.type} ${field.name}`).join(',')})`))
  const encoders = fields.map(encoderOf)
  return (values) => {
    const data = new Uint8Array(32 + 32 * encoders.length)
    data.set(typeHash)
    encoders.forEach((encode, i) => encode(values[fields[i]!.name], data.subarray(32 + 32 * i, 64 + 32 * i)))
    return engine().keccak256(data)
  }
}

function encoderOf({ name, type }: TypedDataField): Encode {
  const misfit = (): SluiceError => new SluiceError('BAD_ARGUMENT', `${name} is not a value of type ${type}`, { details: { name, type } })

  const bytesOf = (value: TypedDataValue | undefined, size?: number): Uint8Array => {
    const bytes = typeof value === 'string' ? fromHex(value, size, name) : value
    if (!(bytes instanceof Uint8Array) || (size !== undefined && bytes.length !== size)) throw misfit()
    return bytes
  }

  if (type === 'address') return (value, out) => out.set(bytesOf(value, 20), 12)
  if (type === 'bytes') return (value, out) => out.set(engine().keccak256(bytesOf(value)))
  if (type === 'bool') {
    return (value, out) => {
      if (typeof value !== 'boolean') throw misfit()
      out[31] = Number(value)
    }
  }
  if (type === 'string') {
    return (value, out) => {
      // Half a surrogate pair has no UTF-8: two texts would share a hash.
      if (typeof value !== 'string' || /\p{Surrogate}/u.test(value)) throw misfit()
      out.set(engine().keccak256(utf8(value)))
    }
  }
  const [, kind, digits] = /^(uint|bytes)([1-9]\d{0,2})$/.exec(type) ?? []
  const size = Number(digits)
  if (kind === 'bytes' && size <= 32) return (value, out) => out.set(bytesOf(value, size))
  if (kind === 'uint' && size <= 256 && size % 8 === 0) {
    return (value, out) => {
      let rest = integerOf(value)
      if (rest === undefined || rest < 0n || rest >> BigInt(size) !== 0n) throw misfit()
      for (let at = 31; rest > 0n; at--, rest >>= 8n) out[at] = Number(rest & 0xffn)
    }
  }
  throw new SluiceError('BAD_ARGUMENT', `${name} has type ${type}, which is not an atomic type`, { details: { name, type } })
}

function integerOf(value: TypedDataValue | undefined): bigint | undefined {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined
  return typeof value === 'string' && /^(\d+|0x[0-9a-fA-F]+)$/.test(value) ? BigInt(value) : undefined
}
