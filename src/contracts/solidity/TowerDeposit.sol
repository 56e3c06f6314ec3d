// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Payouts} from "./Payouts.sol";
import {Signatures} from "./Signatures.sol";
import {TokenNetwork} from "./TokenNetwork.sol";
import {TokenNetworkRegistry} from "./TokenNetworkRegistry.sol";

/// @title What watchtowers are paid from.
/// @notice A client deposits once and signs a reward for each balance proof that it gives to towers. The tower that shows
/// such a proof in time, through this contract, gets the reward when the channel may be settled. A newer proof, or more
/// steps of the same one, takes an older one's place, and its reward too.
/// @dev A reward is set aside from the deposit as soon as the proof is shown, so later calls can't spend it elsewhere.
contract TowerDeposit is Payouts, Signatures {
    /// @notice What a client has here.
    struct Account {
        /// @dev Without what is set aside for towers.
        uint104 deposit;
        /// @dev What the client announced to withdraw, from `withdrawAt` on (Unix seconds; 0 for nothing announced).
        uint104 planned;
        uint40 withdrawAt;
    }

    /// @notice What a client pays for showing one proof, signed by it as `TowerReward`: by its own key, or by a session key
    /// that is registered for the channel.
    struct Reward {
        /// @dev Zero for whoever shows it.
        address tower;
        uint128 amount;
        bytes signature;
    }

    /// @notice What is set aside for a tower.
    struct Claim {
        address tower;
        /// @dev Of the proof that it showed.
        uint64 nonce;
        uint104 amount;
        /// @dev Unix seconds from which it can be claimed.
        uint40 claimAt;
    }

    /// @notice `client` has `deposit` here, without what is set aside.
    event Deposited(address indexed client, address indexed payer, uint256 amount, uint256 deposit);
    /// @notice `client` will be able to take out `amount` from `withdrawAt` on: towers should not count on it for longer.
    event WithdrawPlanned(address indexed client, uint256 amount, uint256 withdrawAt);
    /// @notice `client` took `amount` out to `to`.
    event ClientWithdrew(address indexed client, address to, uint256 amount);
    /// @notice `tower` showed a proof for `client`; `amount` is set aside for it.
    event RewardEarned(
        address indexed tokenNetwork,
        bytes32 indexed channelId,
        address indexed tower,
        address client,
        uint64 nonce,
        uint256 amount
    );
    /// @notice `tower` was paid `amount`.
    event RewardClaimed(
        address indexed tokenNetwork, bytes32 indexed channelId, address indexed tower, uint256 amount
    );

    /// @notice A deposit must be more than nothing, and stay below 2^104.
    error TowerDepositOutOfRange(uint256 deposit, uint256 largest);
    /// @notice The client has less here than its reward.
    error RewardUncovered(address client, uint256 deposit, uint256 amount);
    /// @notice The reward is for a proof older than the one shown.
    error RewardOutdated(uint64 nonce, uint64 known);
    /// @notice The registry has not made this network: what it says of channels could be anything.
    error NetworkUnknown(address tokenNetwork);
    /// @notice Nothing is set aside for this channel.
    error NoReward(address tokenNetwork, bytes32 channelId);
    /// @notice The reward can be claimed from `opensAt` on.
    error ClaimTooEarly(uint256 opensAt);
    /// @notice The withdrawal was not announced.
    error WithdrawNotPlanned(address client);
    /// @notice The withdrawal is possible from `opensAt` on.
    error WithdrawTooEarly(uint256 opensAt);

    bytes32 private constant REWARD_TYPEHASH = keccak256(
        "TowerReward(address tokenNetwork,bytes32 channelId,uint64 nonce,address tower,uint128 amount)"
    );

    /// @notice The registry of the networks in which rewards are earned.
    TokenNetworkRegistry public immutable registry;
    /// @notice What is paid in; zero for ETH.
    address public immutable token;
    /// @notice Seconds between the announcement of a withdrawal and the withdrawal: longer than the challenge period, or
    /// towers could go without what they were promised.
    uint32 public immutable withdrawDelay;

    /// @notice What a client has here.
    mapping(address client => Account) public accounts;
    /// @notice What is set aside for the tower of a channel.
    mapping(address tokenNetwork => mapping(bytes32 channelId => Claim)) public claims;

    constructor(TokenNetworkRegistry registry_, address token_, uint32 withdrawDelay_) {
        registry = registry_;
        token = token_;
        withdrawDelay = withdrawDelay_;
    }

    /// @notice Pays in for `client`; anyone may. ETH is sent along, a token needs an allowance.
    function deposit(address client, uint256 amount) external payable nonReentrant {
        uint256 value = token == address(0) ? amount : 0;
        if (msg.value != value) revert WrongValue(msg.value, value);
        uint256 largest = type(uint104).max - accounts[client].deposit;
        if (amount == 0 || amount > largest) revert TowerDepositOutOfRange(amount, largest);
        uint104 sum = accounts[client].deposit + uint104(amount);
        accounts[client].deposit = sum;
        emit Deposited(client, msg.sender, amount, sum);
        if (token != address(0)) _pullToken(token, msg.sender, amount);
    }

    /// @notice Announces that the caller wants `amount` back, in place of what it announced before; 0 to call it off.
    function planWithdraw(uint104 amount) external {
        Account storage account = accounts[msg.sender];
        uint40 withdrawAt = amount == 0 ? 0 : uint40(block.timestamp + withdrawDelay);
        (account.planned, account.withdrawAt) = (amount, withdrawAt);
        emit WithdrawPlanned(msg.sender, amount, withdrawAt);
    }

    /// @notice Pays out what the caller announced, or what is left of it.
    function withdraw(address to) external nonReentrant {
        Account storage account = accounts[msg.sender];
        if (account.withdrawAt == 0) revert WithdrawNotPlanned(msg.sender);
        if (block.timestamp < account.withdrawAt) revert WithdrawTooEarly(account.withdrawAt);
        uint104 amount = account.planned < account.deposit ? account.planned : account.deposit;
        (account.deposit, account.planned, account.withdrawAt) = (account.deposit - amount, 0, 0);
        emit ClientWithdrew(msg.sender, to, amount);
        if (amount != 0) _sendAll(token, to, amount);
    }

    /// @notice Shows a proof for `client` in a closed channel and sets its reward aside. The other arguments are those
    /// of `TokenNetwork.update`.
    function update(
        TokenNetwork tokenNetwork,
        address closer,
        address client,
        TokenNetwork.Balance calldata fromPartner,
        TokenNetwork.Balance calldata fromCloser,
        TokenNetwork.Proof calldata proof,
        bytes calldata clientSignature,
        Reward calldata reward
    ) external nonReentrant {
        _requireKnown(tokenNetwork);
        tokenNetwork.update(closer, client, fromPartner, fromCloser, proof, clientSignature);
        TokenNetwork.ChannelView memory shown = tokenNetwork.channel(closer, client);
        _requirePromised(tokenNetwork, shown.channelId, client, proof.nonce, reward);
        address tower = reward.tower == address(0) ? msg.sender : reward.tower;
        _setAside(claims[address(tokenNetwork)][shown.channelId], client, tower, proof.nonce, reward.amount, shown.settleAt);
        emit RewardEarned(address(tokenNetwork), shown.channelId, tower, client, proof.nonce, reward.amount);
    }

    /// @notice Pays the tower that showed the newest proof for a channel; anyone may call.
    function claim(address tokenNetwork, bytes32 channelId) external nonReentrant {
        Claim memory claim_ = claims[tokenNetwork][channelId];
        if (claim_.tower == address(0)) revert NoReward(tokenNetwork, channelId);
        if (block.timestamp < claim_.claimAt) revert ClaimTooEarly(claim_.claimAt);
        delete claims[tokenNetwork][channelId];
        emit RewardClaimed(tokenNetwork, channelId, claim_.tower, claim_.amount);
        _push(token, claim_.tower, claim_.amount);
    }

    /// @notice Takes out the caller's credit.
    /// @param to Who gets it.
    function withdrawCredit(address to) external nonReentrant {
        _payCredit(token, to);
    }

    /// @notice What `account` can withdraw: the pushes to it that failed.
    function credit(address account) external view returns (uint256) {
        return _credit[token][account];
    }

    /// @dev Refuses a network that the registry has not made.
    function _requireKnown(TokenNetwork tokenNetwork) private view {
        address made = address(registry.tokenNetworks(tokenNetwork.token()));
        if (made != address(tokenNetwork)) revert NetworkUnknown(address(tokenNetwork));
    }

    /// @dev Refuses a reward that neither the client's key nor one of its session keys in the channel has signed.
    function _requirePromised(
        TokenNetwork tokenNetwork,
        bytes32 channelId,
        address client,
        uint64 nonce,
        Reward calldata reward
    ) private view {
        bytes32 structHash =
            keccak256(abi.encode(REWARD_TYPEHASH, tokenNetwork, channelId, nonce, reward.tower, reward.amount));
        address signer = _signerOf(_digest(structHash), reward.signature);
        if (signer == client && signer != address(0)) return;
        if (signer == address(0) || !tokenNetwork.sessionKeys(channelId, client, signer)) revert NotSignedBy(client);
    }

    /// @dev Puts a reward in the place of the one before.
    function _setAside(
        Claim storage claim_,
        address client,
        address tower,
        uint64 nonce,
        uint256 amount,
        uint40 claimAt
    ) private {
        // An equal one paid more by its steps, or the network would have refused it.
        if (nonce < claim_.nonce) revert RewardOutdated(nonce, claim_.nonce);
        uint256 covered = uint256(accounts[client].deposit) + claim_.amount;
        if (amount > covered) revert RewardUncovered(client, covered, amount);
        accounts[client].deposit = uint104(covered - amount);
        (claim_.tower, claim_.nonce) = (tower, nonce);
        (claim_.amount, claim_.claimAt) = (uint104(amount), claimAt);
    }

    function _domainName() internal pure override returns (string memory) {
        return "Sluice TowerDeposit";
    }
}
