import { describe, expect, it } from 'vitest'
import { randomBytes, toHex, utf8 } from '../bytes.ts'
import { openVault } from '../platform/node.ts'
import { secretVault } from './secretVault.ts'

const secret = new Uint8Array(32).fill(3)
const vault = secretVault('session', secret)

describe('secretVault', () => {
  it('opens what it sealed, also after a restart', async () => {
    for (const size of [0, 1, 32, 1000]) {
      const plain = randomBytes(size)
      const sealed = await vault.seal(plain)
      expect(toHex(await vault.open(sealed))).toBe(toHex(plain))
      expect(toHex(await secretVault('session', secret.slice()).open(sealed))).toBe(toHex(plain))
    }
  })

  it('hides the secret, and seals it in other bytes every time', async () => {
    const plain = utf8('a session key of thirty-two bytes')
    const [a, b] = [await vault.seal(plain), await vault.seal(plain)]
    expect(toHex(a)).not.toBe(toHex(b))
    expect(toHex(a)).not.toContain(toHex(plain).slice(2, 18))
  })

  it('refuses bytes that were changed anywhere, cut or extended', async () => {
    const sealed = await vault.seal(utf8('secret'))
    const bad = [new Uint8Array(0), sealed.slice(0, 20), sealed.slice(0, -1), Uint8Array.of(...sealed, 0)]
    for (let i = 0; i < sealed.length; i++) bad.push(sealed.map((byte, at) => (at === i ? byte ^ 1 : byte)))
    for (const each of bad) await expect(vault.open(each)).rejects.toMatchObject({ code: 'BAD_KEY' })
  })

  it('refuses what another secret or another name sealed', async () => {
    const sealed = await vault.seal(utf8('secret'))
    for (const other of [secretVault('session', randomBytes(32)), secretVault('other', secret)]) {
      await expect(other.open(sealed)).rejects.toMatchObject({ code: 'BAD_KEY' })
    }
  })

  it('wants a long secret', () => {
    expect(() => secretVault('session', new Uint8Array(31))).toThrow(expect.objectContaining({ code: 'BAD_KEY' }))
  })

  it("is Node's own vault", async () => {
    const own = await openVault('session', async () => secret)
    expect(toHex(await own.open(await vault.seal(utf8('x'))))).toBe(toHex(utf8('x')))
  })
})
