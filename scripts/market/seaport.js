// Seaport 1.6 orders: composed, signed off chain, and the calls that fill them.

import { keccak256, MaxUint256, TypedDataEncoder, toBeHex, ZeroAddress, ZeroHash } from "ethers";
import { CHAIN_ID, GENESIS_TIME } from "./node.js";

export const ADDRESS = "0x0000000000000068f116a894984e2db1123eb395";
export const CONDUIT_CONTROLLER = "0x00000000f9490004c11cef243f5400493c00ad63";

// Item kinds and order types of the contract's enums.
const NATIVE = 0, ERC20 = 1, ERC721 = 2, ERC1155 = 3, WITH_CRITERIA = 2;
export const FULL_OPEN = 0, PARTIAL_OPEN = 1;

const domain = { name: "Seaport", version: "1.6", chainId: CHAIN_ID, verifyingContract: ADDRESS };
const item = "uint8 itemType,address token,uint256 identifierOrCriteria,uint256 startAmount,uint256 endAmount";
const fields = (text) => text.split(",").map((field) => ({ type: field.split(" ")[0], name: field.split(" ")[1] }));
const words = {
  OrderComponents: fields(
    "address offerer,address zone,OfferItem[] offer,ConsiderationItem[] consideration,uint8 orderType," +
      "uint256 startTime,uint256 endTime,bytes32 zoneHash,uint256 salt,bytes32 conduitKey,uint256 counter",
  ),
  OfferItem: fields(item),
  ConsiderationItem: fields(`${item},address recipient`),
};

/** An amount of native currency (`token` null) or of an ERC-20. */
export const money = (token, amount, endAmount = amount) => ({
  itemType: token === null ? NATIVE : ERC20,
  token: token ?? ZeroAddress,
  identifierOrCriteria: 0n,
  startAmount: amount,
  endAmount,
});

export const piece = ({ collection, id, quantity }) => ({
  itemType: collection.standard === "erc721" ? ERC721 : ERC1155,
  token: collection.address,
  identifierOrCriteria: id,
  startAmount: quantity,
  endAmount: quantity,
});

/** Any token of a collection (`root` zero) or any of those under a Merkle root. */
export const anyPiece = (collection, quantity, root = 0n) => {
  const exact = piece({ collection, id: BigInt(root), quantity });
  return { ...exact, itemType: exact.itemType + WITH_CRITERIA };
};

export const to = (recipient, thing) => ({ ...thing, recipient });

/** A signed order of `maker` (a wallet). Prices may fall between `startTime` and `endTime`. */
export async function order(maker, { offer, consideration, counter, salt, conduitKey = ZeroHash, orderType = FULL_OPEN, times }) {
  const components = {
    offerer: maker.address,
    zone: ZeroAddress,
    offer,
    consideration,
    orderType,
    startTime: times?.start ?? GENESIS_TIME,
    endTime: times?.end ?? GENESIS_TIME + 365 * 86400,
    zoneHash: ZeroHash,
    salt,
    conduitKey,
    counter,
  };
  const { counter: _, ...rest } = components;
  return {
    components,
    parameters: { ...rest, totalOriginalConsiderationItems: consideration.length },
    hash: TypedDataEncoder.from(words).hashStruct("OrderComponents", components),
    signature: await maker.signTypedData(domain, words, components),
  };
}

export const plain = ({ parameters, signature }) => ({ parameters, signature });

export const advanced = ({ parameters, signature }, numerator = 1n, denominator = 1n) => ({
  parameters,
  numerator,
  denominator,
  signature,
  extraData: "0x",
});

/** `fulfillBasicOrder`'s flat form: one item against one currency, the rest of the payment to further recipients. */
export function basic({ parameters, signature }, fulfillerConduitKey, tips = []) {
  const [offered] = parameters.offer;
  const [main, ...others] = parameters.consideration;
  const route =
    offered.itemType === ERC20
      ? main.itemType === ERC721 ? 4 : 5
      : (main.itemType === ERC20 ? 2 : 0) + (offered.itemType === ERC1155 ? 1 : 0);
  return {
    considerationToken: main.token,
    considerationIdentifier: main.identifierOrCriteria,
    considerationAmount: main.startAmount,
    offerer: parameters.offerer,
    zone: parameters.zone,
    offerToken: offered.token,
    offerIdentifier: offered.identifierOrCriteria,
    offerAmount: offered.startAmount,
    basicOrderType: route * 4 + parameters.orderType,
    startTime: parameters.startTime,
    endTime: parameters.endTime,
    zoneHash: parameters.zoneHash,
    salt: parameters.salt,
    offererConduitKey: parameters.conduitKey,
    fulfillerConduitKey,
    totalOriginalAdditionalRecipients: others.length,
    additionalRecipients: [...others, ...tips].map((part) => ({ amount: part.startAmount, recipient: part.recipient })),
    signature,
  };
}

/** What a falling price stands at; what is received is rounded up, as the contract does. */
export function amountAt({ startAmount, endAmount }, { startTime, endTime }, time) {
  if (startAmount === endAmount) return startAmount;
  const duration = BigInt(endTime - startTime);
  const elapsed = BigInt(time - startTime);
  return (endAmount * elapsed + startAmount * (duration - elapsed) + duration - 1n) / duration;
}

/** A Merkle tree of ids: its root, and the proof for each id. Pairs are hashed in sorted order. */
export function criteria(ids) {
  const leaves = ids.map((id) => keccak256(toBeHex(id, 32))).sort();
  const join = (a, b) => keccak256(a < b ? a + b.slice(2) : b + a.slice(2));
  const levels = [leaves];
  while (levels.at(-1).length > 1) {
    const below = levels.at(-1);
    const above = [];
    for (let i = 0; i < below.length; i += 2) above.push(i + 1 < below.length ? join(below[i], below[i + 1]) : below[i]);
    levels.push(above);
  }
  const proof = (id) => {
    let at = leaves.indexOf(keccak256(toBeHex(id, 32)));
    const path = [];
    for (const level of levels.slice(0, -1)) {
      const sibling = level[at ^ 1];
      if (sibling) path.push(sibling);
      at >>= 1;
    }
    return path;
  };
  return { root: levels.at(-1)[0], proof };
}

export const UNLIMITED = MaxUint256;
