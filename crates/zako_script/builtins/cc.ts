export const todo_replaced: number = 0;
