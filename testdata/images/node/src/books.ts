export interface Book {
  id: number;
  title: string;
  added: string;
  about: string;
}

export const books: Book[] = [
  { id: 1, title: "Dracula", added: "1897-05-26", about: "Letters, *diaries* and a ship." },
  { id: 2, title: "Emma", added: "1815-12-23", about: "A **matchmaker** at work." },
];

export function find(id: number): Book | undefined {
  return books.find((book) => book.id === id);
}
