/**
 * Who takes part in the example, what they sell, and what is asked for.
 * @module
 */
import type { NewProduct } from 'sluice-sdk/des'
import { drawPicture } from './picture.ts'

/** Who takes part. */
export const companies = [
  { merchantId: 14, name: 'Lakeside Data 存信数据', representative: 'Cao Chong 草虫', website: 'https://lakeside.example' },
  { merchantId: 15, name: 'Northbridge Credit', representative: 'Ada Meyer', website: 'https://northbridge.example' },
  { merchantId: 16, name: 'Meridian Logistics', representative: 'Liu Yang 刘洋', website: 'https://meridian.example' },
  { merchantId: 17, name: 'Orchard Telecom', representative: 'Sam Okoro', website: '' },
] as const

/** What is asked for: each product takes from it what it asks. */
export const questions = {
  name: 'Zhang San 张三',
  idcard: '330102198901016666',
  phone: '13800000000',
  company: '913301087042',
  address: 'Wensan Road 90',
}

const name = { type: 'string', desc: 'Name 姓名', required: true, sample: '张三' } as const
const idcard = { type: 'string', desc: 'Identity number 身份证号', required: true, sample: '330102198901016666' } as const
const result = { type: 'boolean', desc: 'Whether they match 是否匹配', sample: true } as const
const price = (amount: bigint) => ({ amount, assetId: '1.3.1' } as const)

/** What they sell; the category comes when there is one. */
export const products = {
  kyc: {
    productName: 'Identity check KYC认证',
    briefDesc: 'Whether a name and an identity number belong to one person.',
    shareStatus: 0,
    voteThreshold: 0.6,
    price: price(3_000n),
    privacy: true,
    input: { name, idcard },
    output: { result },
    logoImgBase64: drawPicture(
      [11, 114, 133],
      [255, 255, 255],
      (x, y) => x ** 2 + (y + 0.25) ** 2 < 0.09 || (y > 0.2 && x ** 2 + (y - 0.8) ** 2 < 0.32 && y < 0.62),
    ),
  },
  credit: {
    productName: 'Company credit 企业信用',
    briefDesc: 'A score from 300 to 900 for a company, from filings, court records and its trade of the last two years.',
    shareStatus: 0,
    voteThreshold: 0.6,
    price: price(12_000n),
    privacy: false,
    input: { company: { type: 'string', desc: 'Registration number 注册号', required: true, sample: '913301087042' } },
    output: { score: { type: 'integer', desc: 'Score 信用分', sample: 712 } },
    logoImgBase64: drawPicture([31, 111, 51], [255, 255, 255], (x, y) =>
      [-0.45, 0, 0.45].some((middle, bar) => Math.abs(x - middle) < 0.14 && y < 0.55 && y > 0.25 - bar * 0.36),
    ),
  },
  loans: {
    productName: 'Open loans 借贷查询',
    briefDesc: 'Whether somebody has loans that are overdue.',
    shareStatus: 0,
    voteThreshold: 1,
    price: price(8_000n),
    privacy: true,
    input: { name, idcard },
    output: { result },
  },
  phone: {
    productName: 'Phone holder 手机实名',
    briefDesc: 'Whether a phone number is registered to a name.',
    shareStatus: 1,
    voteThreshold: 1,
    price: price(1_500n),
    privacy: true,
    input: { name, phone: { type: 'string', desc: 'Phone number 手机号', required: true, sample: '13800000000' } },
    output: { result },
    logoImgBase64: drawPicture(
      [122, 72, 8],
      [255, 255, 255],
      (x, y) => Math.abs(x) < 0.3 && Math.abs(y) < 0.55 && !(Math.abs(x) < 0.2 && Math.abs(y + 0.06) < 0.38),
    ),
  },
  address: {
    productName: 'Address check 地址核验',
    briefDesc: 'Whether parcels arrive at an address.',
    shareStatus: 1,
    voteThreshold: 1,
    price: price(900n),
    privacy: false,
    input: { address: { type: 'string', desc: 'Address 地址', required: true, sample: 'Wensan Road 90' } },
    output: { result },
  },
  parcels: {
    productName: 'Parcel history 物流记录',
    briefDesc: 'How many parcels an address has received in the last year, and the day of the last.',
    shareStatus: 1,
    voteThreshold: 1,
    price: price(2_200n),
    privacy: false,
    input: { address: { type: 'string', desc: 'Address 地址', required: true, sample: 'Wensan Road 90' } },
    output: {
      count: { type: 'integer', desc: 'Parcels 包裹数', sample: 3 },
      last: { type: 'date', desc: 'Last one 最近日期', sample: '2026-01-12' },
    },
    logoImgBase64: drawPicture(
      [86, 60, 130],
      [255, 255, 255],
      (x, y) => Math.abs(x) < 0.5 && Math.abs(y) < 0.5 && !(Math.abs(x) < 0.06) && !(y > -0.22 && y < -0.1),
    ),
  },
} as const satisfies Record<string, Omit<NewProduct, 'categoryId'>>
