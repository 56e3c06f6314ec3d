import { SluiceError } from '../../../core/errors.ts'
import type { ExchangeContext } from '../context.ts'

/** A kind of product, in the seed's names. */
export interface CategoryAnswer {
  readonly categoryId: number
  readonly categoryName: string
}

/** Makes a category; the operator's call (seed 001, 1.2). @throws `CONFLICT` if there is one of that name. */
export async function createCategory(
  { sql }: ExchangeContext,
  { categoryName }: { readonly categoryName: string },
): Promise<CategoryAnswer> {
  const made = await sql.db
    .insertInto('des_categories')
    .values({ name: categoryName })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst()
  if (!made) {
    throw new SluiceError('CONFLICT', 'categoryName is that of another category', { details: { field: 'categoryName' } })
  }
  return { categoryId: made.id, categoryName }
}

/** All categories, in the order they were made. */
export async function listCategories({ sql }: ExchangeContext): Promise<CategoryAnswer[]> {
  return sql.db.selectFrom('des_categories').select(['id as categoryId', 'name as categoryName']).orderBy('id').execute()
}
