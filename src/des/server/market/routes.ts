/**
 * The market over HTTP (seed 001, 1.1 to 1.11).
 * @module
 */
import * as v from 'valibot'
import { route, type Route } from '../../../core/http/index.ts'
import { productId, smallInteger } from '../../wire/fields.ts'
import type { ExchangeContext } from '../context.ts'
import { envelope } from '../format.ts'
import { bind, changeProfile, profileOf } from './accounts.ts'
import * as answers from './answers.ts'
import { createCategory, listCategories } from './categories.ts'
import { MAX_LOGO_TEXT, serveLogo } from './logos.ts'
import { addMembers } from './members.ts'
import { createProduct, listProducts, productDetail, updateProduct } from './products.ts'
import {
  bindBody,
  categoryBody,
  categoryId,
  createBody,
  membersBody,
  pageQuery,
  productParams,
  profileBody,
  shareStatus,
  updateBody,
  versionQuery,
  voteBody,
  voteId,
} from './schemas.ts'
import type { MarketUser } from './user.ts'
import { listVotes, voteDetail } from './voteLists.ts'
import { vote } from './votes.ts'

/** Bytes of a body with a logo in it: its text, and twice as much as other bodies have for all the rest. */
const WITH_LOGO = MAX_LOGO_TEXT + 2 ** 17

/** The routes of the market. */
export function marketRoutes(context: ExchangeContext): readonly Route[] {
  const format = envelope
  return [
    route({
      method: 'post',
      path: '/market/account/bind',
      id: 'bindAccount',
      access: 'public',
      format,
      summary: 'Binds an account of the chain to a merchant',
      description:
        "Signed by the account's key: `accountId|merchantId|serviceUrl|timestamp`. A pair stays for good; its address changes by a later binding.",
      body: bindBody,
      answer: answers.bindAnswer,
      problems: [404, 409],
      handle: ({ body }) => bind(context, body),
    }),
    route({
      method: 'get',
      path: '/market/merchant/profile',
      id: 'getProfile',
      access: 'user',
      format,
      summary: 'Shows what a merchant has said of itself',
      answer: answers.profileAnswer,
      problems: [404],
      handle: ({ user }) => profileOf(context, user as MarketUser),
    }),
    route({
      method: 'post',
      path: '/market/merchant/profile',
      id: 'changeProfile',
      access: 'user',
      format,
      summary: 'Changes what a merchant says of itself',
      description: 'What is left out stays; empty text takes away.',
      body: profileBody,
      maxBody: WITH_LOGO,
      handle: ({ user, body }) => changeProfile(context, user as MarketUser, body),
    }),
    route({
      method: 'post',
      path: '/market/category/create',
      id: 'createCategory',
      access: 'operator',
      format,
      summary: 'Makes a category',
      body: categoryBody,
      answer: answers.categoryAnswer,
      problems: [409],
      handle: ({ body }) => createCategory(context, body),
    }),
    route({
      method: 'get',
      path: '/market/category/list',
      id: 'listCategories',
      access: 'public',
      format,
      summary: 'Lists all categories',
      answer: v.array(answers.categoryAnswer),
      handle: () => listCategories(context),
    }),
    route({
      method: 'post',
      path: '/market/product/create',
      id: 'createProduct',
      access: 'user',
      keyed: true,
      format,
      summary: 'Publishes a product',
      body: createBody,
      maxBody: WITH_LOGO,
      answer: answers.createdAnswer,
      problems: [409],
      handle: ({ user, body }) => createProduct(context, user as MarketUser, body),
    }),
    route({
      method: 'post',
      path: '/market/product/{productId}/members/add',
      id: 'addMembers',
      access: 'user',
      keyed: true,
      format,
      summary: 'Begins a vote about new members',
      description: 'A member invites `members`; anybody else applies for itself.',
      params: productParams,
      body: membersBody,
      answer: answers.openedAnswer,
      problems: [404, 409],
      handle: ({ user, params, body }) => addMembers(context, user as MarketUser, params.productId, body.members),
    }),
    route({
      method: 'post',
      path: '/market/product/{productId}/update',
      id: 'updateProduct',
      access: 'user',
      keyed: true,
      format,
      summary: 'Begins a vote about a change of a product',
      description: 'What is left out stays. In the free market the change takes effect at once.',
      params: productParams,
      body: updateBody,
      maxBody: WITH_LOGO,
      answer: answers.openedAnswer,
      problems: [404, 409],
      handle: ({ user, params, body }) => updateProduct(context, user as MarketUser, params.productId, body),
    }),
    route({
      method: 'post',
      path: '/market/product/vote',
      id: 'vote',
      access: 'user',
      keyed: true,
      format,
      summary: 'Votes',
      body: voteBody,
      answer: answers.votedAnswer,
      problems: [404, 409],
      handle: ({ user, body }) => vote(context, user as MarketUser, body),
    }),
    route({
      method: 'get',
      path: '/market/product/list/{categoryId}/{shareStatus}',
      id: 'listProducts',
      access: 'public',
      format,
      summary: 'Lists the products of a category in the alliance (0) or the free market (1)',
      params: v.object({ categoryId, shareStatus }),
      query: v.object(pageQuery),
      answer: answers.productsAnswer,
      handle: ({ params, query }) => listProducts(context, params, query),
    }),
    route({
      method: 'get',
      path: '/market/product/{productId}',
      id: 'getProduct',
      access: 'public',
      format,
      summary: 'Shows a product',
      params: productParams,
      query: versionQuery,
      answer: answers.productAnswer,
      problems: [404],
      handle: ({ params, query }) => productDetail(context, params.productId, query.version),
    }),
    route({
      method: 'get',
      path: '/market/logo/{hash}',
      id: 'getLogo',
      access: 'public',
      format,
      summary: 'Serves a picture',
      params: v.object({ hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits')) }),
      media: 'image/*',
      problems: [404],
      handle: ({ params }) => serveLogo(context, params.hash),
    }),
    route({
      method: 'get',
      path: '/market/product/{productId}/votes/{type}',
      id: 'listVotes',
      access: 'user',
      format,
      summary: "Lists votes: open ones without one's own vote (0), passed (1) or rejected ones (2)",
      description: '`all` stands for all products that one is a member of, or has applied for.',
      params: votesParams,
      query: votesQuery,
      answer: answers.votesAnswer,
      handle: ({ user, params, query }) => listVotes(context, user as MarketUser, params, query),
    }),
    route({
      method: 'get',
      path: '/market/product/votes/{voteId}',
      id: 'getVote',
      access: 'user',
      format,
      summary: 'Shows a vote',
      params: voteParams,
      answer: answers.voteAnswer,
      problems: [404],
      handle: ({ user, params }) => voteDetail(context, user as MarketUser, params.voteId),
    }),
  ]
}

const votesQuery = v.object(pageQuery)
const voteParams = v.object({ voteId })
const votesParams = v.object({
  productId: v.union([v.literal('all'), productId], "must be a product's number, or all"),
  type: v.pipe(
    smallInteger(0, 2),
    v.transform((value) => value as 0 | 1 | 2),
  ),
})
