import { expect, it } from 'vitest'
import { deployment, deployments } from './deployments.ts'

it('tells what to do on a chain without a deployment', () => {
  expect(() => deployment(31337n)).toThrow(expect.objectContaining({ code: 'NOT_DEPLOYED', details: { chainId: 31337n } }))
  expect(() => deployment(31337n)).toThrow(/pass the addresses/)
})

it('finds every deployment by its chain', () => {
  for (const [chainId, found] of Object.entries(deployments)) expect(deployment(BigInt(chainId))).toBe(found)
})
