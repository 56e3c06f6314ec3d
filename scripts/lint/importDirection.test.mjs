import { RuleTester } from 'eslint'
import tseslint from 'typescript-eslint'
import { afterAll, describe, it } from 'vitest'
import { importDirection } from './importDirection.mjs'

Object.assign(RuleTester, { describe, it, afterAll })

const at = filename => code => ({ filename, code })
const bad = (filename, code, messageId = 'direction') => ({ filename, code, errors: [{ messageId }] })

new RuleTester({ languageOptions: { parser: tseslint.parser } }).run('import direction', importDirection, {
  valid: [
    at('src/core/chain/sender.ts')('import { a } from \'../errors.ts\''),
    at('src/contracts/deploy.ts')('import { a } from \'../core/errors.ts\'\nimport { b } from \'./dataTrade.ts\''),
    at('src/protocol/order.ts')('import { a } from \'../contracts/order.ts\''),
    at('src/payments/voucher.ts')('export { a } from \'../protocol/order.ts\''),
    at('src/buyer/buyer.ts')('import { a } from \'../payments/voucher.ts\'\nimport { b } from \'ethers\'\nimport { c } from \'#platform\''),
    at('src/index.ts')('export { a } from \'./core/errors.ts\''),
    // Tests and what tests are made of cross every line.
    at('src/core/errors.test.ts')('import { a } from \'../buyer/buyer.ts\'\nimport { b } from \'../testing/devnet.ts\''),
    at('src/testing/devnet.ts')('import { a } from \'../buyer/buyer.ts\'\nimport { b } from \'../seller/seller.ts\''),
    at('test/trade.test.ts')('import { a } from \'sluice-sdk/buyer\''),
  ],
  invalid: [
    bad('src/core/errors.ts', 'import { a } from \'../contracts/dataTrade.ts\''),
    bad('src/core/chain/sender.ts', 'import type { A } from \'../../protocol/order.ts\''),
    bad('src/contracts/dataTrade.ts', 'export { a } from \'../protocol/order.ts\''),
    bad('src/protocol/order.ts', 'export * from \'../payments/payment.ts\''),
    bad('src/payments/voucher.ts', 'const a = await import(\'../buyer/buyer.ts\')'),
    bad('src/payments/voucher.ts', 'type A = import(\'../seller/seller.ts\').A'),
    bad('src/buyer/buyer.ts', 'import { a } from \'../seller/seller.ts\''),
    bad('src/kiosk/boss.ts', 'import { a } from \'../des/exchange.ts\''),
    bad('src/index.ts', 'export { a } from \'./buyer/buyer.ts\''),
    bad('src/core/clock.ts', 'import { a } from \'../index.ts\''),
    bad('src/buyer/buyer.ts', 'import { a } from \'../testing/devnet.ts\''),
    bad('src/buyer/buyer.ts', 'import { a } from \'../../scripts/gas.ts\''),
    bad('src/core/chain/sender.ts', 'import { a } from \'./anvil.testing.ts\''),
    bad('src/buyer/buyer.ts', 'import { a } from \'sluice-sdk/protocol\'', 'byName'),
    bad('src/wallet/wallet.ts', 'import { a } from \'../core/errors.ts\'', 'unknown'),
  ],
})
