/**
 * Watchtowers: what answers the closing of a channel while its node is not there.
 * @module
 */
export { createTower, type Tower, type TowerEvents, type TowerOptions } from './tower.ts'
export { decodeAppointment, hintOf, unseal, type Appointment, type ShownByClosing, type ShownRelease, type TowerReward } from './appointment.ts'
export { receiptTypes, sealedHashOf, verifyReceipt, type TowerReceipt } from './receipt.ts'
export { rewardDigest, towerRewardTypes, type TowerRewardMessage } from './rewardDigest.ts'
export type { OnChainProof } from '../chain/blockchainService.ts'
export type { Presented } from '../node/channel.ts'
