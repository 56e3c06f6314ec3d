/**
 * How a buyer pays and a seller checks.
 * @module
 */
export { alipayPayer, alipayPayments, CNY, outTradeNo, type AlipayGateway, type AlipayOptions, type AlipayPayerOptions, type AlipayTrade } from './alipay.ts'
export { channelPayer, type ChannelPayerOptions } from './channel/buyer.ts'
export type { ChannelPayment, ChannelPort, TokenNetworks } from './channel/channelPort.ts'
export { channelPayments, type ChannelPaymentsOptions } from './channel/seller.ts'
export type { Acknowledgement, PayableOrder, Payer, PaymentMethod, Till } from './payment.ts'
export {
  createTokenPayer,
  type TokenPayer,
  type TokenPayerOptions,
} from './token/buyer.ts'
export type { Evidence, OpenedOrder, Reclaimed, ReclaimOptions, SignalOptions } from './token/recovery.ts'
export type { ChainLog } from '../core/chain/chainLog.ts'
export type {
  ContractCreation,
  PendingTransaction,
  Sender,
  SendOptions,
  SentReceipt,
  TransactionCall,
  TransactionOutcome,
} from '../core/chain/sender.ts'
export { creditOf, withdrawCredit } from './token/credit.ts'
export { overdueOrders, settleOverdue, type OverdueOptions, type OverdueOrder } from './token/overdue.ts'
export { tokenPayments, type TokenPayments, type TokenPaymentsOptions } from './token/seller.ts'
