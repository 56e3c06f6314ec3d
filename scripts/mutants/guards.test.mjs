import { expect, it } from 'vitest'
import { guardsOfSolidity, guardsOfTypeScript, instrument } from './guards.mjs'

const source = [
  'if (a > b) throw new Error()',
  'if (await slow(a)) {',
  '  log(a)',
  '  throw b',
  '}',
  'if (a) return',
  "assertArgument(a === 1, 'a', 'one')",
].join('\n')

it('finds what throws, and nothing else', () => {
  expect(guardsOfTypeScript(source).map(({ line, kind }) => [line, kind])).toEqual([[1, 'if'], [2, 'if'], [7, 'assert']])
})

it('puts each condition into a call that can overrule it', () => {
  const guards = guardsOfTypeScript(source).map((guard, id) => ({ id, ...guard }))
  expect(instrument(source, guards).split('\n')).toEqual([
    'if (globalThis.__guardRefuses(0, a > b)) throw new Error()',
    'if (globalThis.__guardRefuses(1, await slow(a))) {',
    '  log(a)',
    '  throw b',
    '}',
    'if (a) return',
    "assertArgument(globalThis.__guardHolds(2, a === 1), 'a', 'one')",
  ])
})

it('takes a guard out of Solidity and leaves the rest', () => {
  const contract = 'if (f(x) == 0) revert A(x);\nif (g) { h(); }\nif (x > (y + 1)) {\n  revert B();\n}'
  const guards = guardsOfSolidity(contract)
  expect(guards.map(({ line }) => line)).toEqual([1, 3])
  expect(guards[1].without(contract)).toBe(
    'if (f(x) == 0) revert A(x);\nif (g) { h(); }\nif ((x > (y + 1)) && false) {\n  revert B();\n}')
})
