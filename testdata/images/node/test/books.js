const assert = require("assert");
const { find } = require("../dist/books");

describe("find", () => {
  it("knows a book by its number", () => assert.equal(find(2)?.title, "Emma"));
  it("knows no other", () => assert.equal(find(99), undefined));
});
